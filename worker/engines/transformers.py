"""transformers in this process, with a token loop of our own so that every token is timed.

A token counts when it is on the host, as it must be to be streamed or tested for the end of the text: copying it there
waits for the device, so one host clock serves CPU and CUDA. Generation is greedy and never stops early, so that every
request has the length that was asked for.
"""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from planner.domain.runtime import Runtime
from planner.errors import InvalidInput
from worker.engines import Generation
from worker.engines.loading import context_limit, load_model

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch


class Mode(StrEnum):
    """How the model's forward pass is executed."""

    EAGER = "eager"
    """Operator by operator, with a KV cache that grows."""
    COMPILED = "compiled"
    """Decode steps compiled by inductor (with CUDA graphs on CUDA) over a preallocated KV cache; prefill stays eager."""


class TransformersEngine:
    """One loaded variant."""

    def __init__(self, model: Any, *, mode: Mode = Mode.EAGER) -> None:
        import torch
        import transformers

        self._model = model
        self._mode = mode
        self._runtime = Runtime(name="transformers", version=transformers.__version__, mode=mode.value)
        self._static: Any | None = None
        self._static_key: tuple[int, int] | None = None
        self._step: Any = model
        if mode is Mode.COMPILED:
            options = "reduce-overhead" if model.device.type == "cuda" else "default"
            self._step = torch.compile(model.forward, mode=options, dynamic=False)

    @classmethod
    def load(cls, directory: Path, *, device: torch.device, mode: Mode = Mode.EAGER) -> Self:
        """Return the engine with the variant in `directory` loaded. Raises as `loading.load_model` does."""
        return cls(load_model(directory, device=device), mode=mode)

    @property
    def model(self) -> Any:
        """The transformers model."""
        return self._model

    @property
    def runtime(self) -> Runtime:
        """transformers, its version and the mode."""
        return self._runtime

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return int(self._model.config.get_text_config().vocab_size)

    @property
    def max_context(self) -> int | None:
        """Most tokens of one sequence, as the model's configuration says."""
        return context_limit(self._model)

    @property
    def attention(self) -> str:
        """The attention implementation in use."""
        return str(getattr(self._model.config, "_attn_implementation", None) or "unknown")

    def generate(self, prompts: npt.NDArray[np.int64], output_tokens: int) -> Generation:
        """Generate greedily; see the protocol. Raises InvalidInput when the sequence would pass the model's context."""
        import torch

        requests, tokens = prompts.shape
        limit = self.max_context
        if limit is not None and tokens + output_tokens > limit:
            raise InvalidInput(
                "workload",
                f"{tokens} tokens in and {output_tokens} out make {tokens + output_tokens}",
                allowed=f"at most {limit} tokens of context for this model",
            )
        device = self._model.device
        times: list[float] = []
        tokens_out: list[torch.Tensor] = []
        with torch.inference_mode():
            cache = self._cache(requests, tokens + output_tokens)
            start = time.perf_counter()
            token = self._prefill(torch.from_numpy(prompts).to(device), cache)
            tokens_out.append(token.cpu())
            times.append(time.perf_counter() - start)
            for step in range(1, output_tokens):
                token = self._decode(token, cache, tokens + step - 1)
                tokens_out.append(token.cpu())
                times.append(time.perf_counter() - start)
        return Generation(seconds=tuple(times), tokens=torch.cat(tokens_out, dim=1).numpy())

    def _cache(self, requests: int, length: int) -> Any:
        """Return an empty KV cache: one that grows, or the preallocated one of this shape, cleared."""
        from transformers import DynamicCache, StaticCache

        if self._mode is Mode.EAGER:
            return DynamicCache(config=self._model.config)
        if self._static is None or self._static_key != (requests, length):
            self._static = StaticCache(config=self._model.config, max_cache_len=length)
            self._static_key = (requests, length)
        else:
            self._static.reset()
        return self._static

    def _prefill(self, prompts: torch.Tensor, cache: Any) -> torch.Tensor:
        output = self._model(input_ids=prompts, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return _greedy(output.logits)

    def _decode(self, token: torch.Tensor, cache: Any, position: int) -> torch.Tensor:
        import torch

        if self._mode is Mode.EAGER:
            output = self._step(input_ids=token, past_key_values=cache, use_cache=True)
            return _greedy(output.logits)
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        positions = torch.full((1, 1), position, dtype=torch.int64, device=token.device)
        output = self._step(input_ids=token, position_ids=positions, past_key_values=cache, use_cache=True)
        return _greedy(output.logits).clone()


def _greedy(logits: torch.Tensor) -> torch.Tensor:
    """Return the most probable next token of every request, requests x 1."""
    return logits[:, -1, :].argmax(dim=-1, keepdim=True)
