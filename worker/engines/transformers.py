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

from worker.engines import Generation
from worker.engines.cache import make_cache
from worker.engines.loading import load_model
from worker.engines.local import LocalEngine

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch


class Mode(StrEnum):
    """How the model's forward pass is executed."""

    EAGER = "eager"
    """Operator by operator, with a KV cache that grows: `TransformersEngine`."""
    COMPILED = "compiled"
    """Compiled layers and captured steps over a KV cache of fixed size: `worker.engines.compiled`."""


class TransformersEngine(LocalEngine):
    """One loaded variant, executed operator by operator."""

    def __init__(self, model: Any) -> None:
        super().__init__(model, mode=Mode.EAGER.value)

    @classmethod
    def load(cls, directory: Path, *, device: torch.device) -> Self:
        """Return the engine with the variant in `directory` loaded. Raises as `loading.load_model` does."""
        return cls(load_model(directory, device=device))

    def generate(self, prompts: npt.NDArray[np.int64], output_tokens: int) -> Generation:
        """Generate greedily; see the protocol. Raises InvalidInput when the sequence would pass the model's context."""
        import torch

        requests, tokens = prompts.shape
        self.check_length(tokens, output_tokens)
        device = self._model.device
        times: list[float] = []
        tokens_out: list[torch.Tensor] = []
        with torch.inference_mode():
            cache = make_cache(self._model, requests, tokens + output_tokens)
            start = time.perf_counter()
            token = torch.from_numpy(prompts).to(device)
            for _ in range(output_tokens):
                output = self._model(input_ids=token, past_key_values=cache, use_cache=True, logits_to_keep=1)
                token = _greedy(output.logits)
                tokens_out.append(token.cpu())
                times.append(time.perf_counter() - start)
        return Generation(seconds=tuple(times), tokens=torch.cat(tokens_out, dim=1).numpy())


def _greedy(logits: torch.Tensor) -> torch.Tensor:
    """Return the most probable next token of every request, requests x 1."""
    return logits[:, -1, :].argmax(dim=-1, keepdim=True)
