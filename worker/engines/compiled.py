"""transformers with compiled layers, a KV cache of fixed size and the whole decode step replayed as one CUDA graph.

A model's layers are alike, so one is compiled and all use it: seconds instead of minutes, whatever the depth. What the
layers share is given to them from outside (masks, position, their own cache), so that nothing in the compiled code
names one of them. Layers with the same input are joined, and quantized products go to the library that runs them best.
On CUDA a decode step is then captured once and replayed, so that Python costs nothing between kernels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from planner.domain.workload import Workload
from planner.errors import InvalidInput
from worker.engines import Generation
from worker.engines.formats.inference import settings_of
from worker.engines.host_tokens import HostTokens
from worker.engines.kernels import Kernels, choose, compile_kernels, summarize
from worker.engines.loading import load_model
from worker.engines.local import LocalEngine
from worker.engines.projections import prepare_projections
from worker.engines.static_attention import (
    NAME,
    FilledPart,
    StaticKeyValueCache,
    StaticKeyValues,
    register,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

MODE: Final = "compiled"
_REGION: Final = 4
"""Layers compiled together where time allows: what lies between two of them is then fused too."""
_RECOMPILES: Final = 64
"""Shapes that one layer's code may be compiled for."""


class CompiledEngine(LocalEngine):
    """One loaded variant; the model is changed in place and belongs to the engine from then on."""

    def __init__(
        self,
        model: Any,
        *,
        kernels: Kernels = Kernels.AUTO,
        rows: Sequence[int] | None = None,
        thorough: bool = False,
    ) -> None:
        """Prepare `model`; `rows` are the numbers of tokens that will be computed at once, None when unknown.

        `thorough` compiles several layers together: several times as long to compile, a few percent faster.
        Raises InvalidInput for an architecture or settings that this engine cannot run, or kernels that are missing.
        """
        from worker.engines.formats.quantized_linear import settle
        from worker.engines.modules import HummingLinear, RowwiseFp8

        super().__init__(model, mode=MODE)
        self._layers = _decoder_layers(model)
        register()
        model.set_attn_implementation(NAME)
        start = time.perf_counter()
        library = choose(kernels, model.device)
        self._products = prepare_projections(model, library)
        settle(model)
        if rows is not None:
            compile_kernels((module for module in model.modules() if isinstance(module, HummingLinear)), rows)
        # The reductions that stand for products of one row reach the speed of memory only when tuned.
        self._reduces = any(isinstance(module, RowwiseFp8) for module in model.modules())
        dynamo().config.recompile_limit = _RECOMPILES
        self._compile_layers(thorough=thorough)
        self._state: _State | None = None
        self._shapes: set[tuple[str, int, int]] = set()
        self._compile_seconds = time.perf_counter() - start

    @classmethod
    def load(
        cls,
        directory: Path,
        *,
        device: torch.device,
        kernels: Kernels = Kernels.AUTO,
        rows: Sequence[int] | None = None,
        thorough: bool = False,
    ) -> Self:
        """Return the engine with the variant in `directory` loaded. Raises as `loading.load_model` does, and as the engine."""
        from worker.engines.formats.quantized_linear import unsettled

        with unsettled():
            model = load_model(directory, device=device)
        return cls(model, kernels=kernels, rows=rows, thorough=thorough)

    @property
    def attention(self) -> str:
        """The attention in use: flash or its like for prompts, flex attention for decoding on CUDA."""
        return "static: sdpa prefill, flex decode" if self._model.device.type == "cuda" else "static: sdpa"

    @property
    def products(self) -> str:
        """Layers by the library that multiplies them."""
        return summarize(self._products)

    @property
    def cache(self) -> StaticKeyValueCache | None:
        """The KV cache of the latest run."""
        return self._state.cache if self._state else None

    @property
    def compile_seconds(self) -> float:
        """Seconds spent on the first run of each new shape, compiling and capturing included."""
        return self._compile_seconds

    def generate(self, prompts: npt.NDArray[np.int64], output_tokens: int) -> Generation:
        """Generate greedily; see the protocol. Raises InvalidInput when the sequence would pass the model's context."""
        import torch

        requests, tokens = prompts.shape
        self.check_length(tokens, output_tokens)
        with torch.inference_mode():
            state = self._prepared(requests, tokens, tokens + output_tokens)
            times: list[float] = []
            host = HostTokens(requests, output_tokens, self._model.device)
            start = time.perf_counter()
            self._prefill(torch.from_numpy(prompts).to(self._model.device), state)
            host.send(0, state.token)
            for number in range(1, output_tokens):
                # The next step needs nothing from the host, so it is queued before the last token has arrived.
                state.step()
                host.send(number, state.token)
                host.wait(number - 1)
                times.append(time.perf_counter() - start)
            host.wait(output_tokens - 1)
            times.append(time.perf_counter() - start)
        return Generation(seconds=tuple(times), tokens=host.tokens)

    def prepare(self, workload: Workload) -> None:
        """Compile and capture what the workload needs, so that its first run is as the others."""
        import torch

        with torch.inference_mode():
            self._prepared(workload.concurrency, workload.input_tokens, workload.context_tokens)

    def _prepared(self, requests: int, tokens: int, length: int) -> _State:
        """Return a state for this shape with everything compiled and captured that it needs."""
        import torch

        state = self._state
        if state is None or (state.requests, state.length) != (requests, length):
            self._state = state = None
            if self._model.device.type == "cuda":
                torch.cuda.empty_cache()
            state = self._state = _State(self._model, self._layers, requests, length)
        fresh = ("prefill", requests, tokens) not in self._shapes
        start = time.perf_counter()
        if fresh:
            warm = torch.zeros((requests, tokens), dtype=torch.int64, device=self._model.device)
            self._prefill(warm, state)
            self._shapes.add(("prefill", requests, tokens))
        captured = state.capture(lambda: self._decode(state))
        if fresh or captured:
            self._compile_seconds += time.perf_counter() - start
        return state

    def _prefill(self, prompts: torch.Tensor, state: _State) -> None:
        import torch

        tokens = prompts.shape[1]
        positions = torch.arange(tokens, device=prompts.device)[None]
        output = self._model(
            input_ids=prompts,
            position_ids=positions,
            past_key_values=state.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        state.token.copy_(_greedy(output.logits))
        state.filled.start(tokens)

    def _decode(self, state: _State) -> None:
        filled = state.filled
        filled.refresh()
        output = self._model(
            input_ids=state.token,
            position_ids=filled.position[None],
            past_key_values=state.cache,
            use_cache=True,
            block_mask=filled.mask,
            boolean_mask=filled.boolean_mask(),
        )
        state.token.copy_(_greedy(output.logits))
        filled.advance()

    def _compile_layers(self, *, thorough: bool) -> None:
        """Let every layer, or few, run code that was compiled once: prompts of any length, decode steps per batch size."""
        import torch

        largest = _REGION if thorough else 1
        size = next(size for size in range(largest, 0, -1) if len(self._layers) % size == 0)
        prefill = torch.compile(_run_layers, dynamic=True)
        options: dict[str, Any] = {"max_autotune_pointwise": True} if self._reduces else {}
        # Of a step's sizes only the cache's length may change without other code: flex attention's decode kernel is
        # made for one number of requests.
        decode = torch.compile(_run_layers, dynamic=True, options=options)
        for layer in self._layers:
            layer.self_attn.layer_idx = 0
        for start in range(0, len(self._layers), size):
            region = self._layers[start : start + size]
            region[0].forward = _region_forward(region, start, prefill, decode)
            for layer in region[1:]:
                layer.forward = _passed_through


class _State:
    """Buffers of one shape, and the captured decode step."""

    def __init__(self, model: Any, layers: list[Any], requests: int, length: int) -> None:
        import torch

        self.requests, self.length = requests, length
        device = model.device
        self.token = torch.zeros((requests, 1), dtype=torch.int64, device=device)
        text = model.config.get_text_config()
        self.filled = FilledPart(length, text.num_attention_heads // text.num_key_value_heads, device)
        width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        shape = (requests, text.num_key_value_heads, length, width)
        self.cache = StaticKeyValueCache(
            [StaticKeyValues(shape, self.filled, model.dtype) for _ in layers], self.filled
        )
        for layer in self.cache.layers:
            for tensor in (layer.keys, layer.values):
                _mark_static(tensor, (0, 1, 3))
        self._graph: Any = None
        self._step: Callable[[], None] | None = None

    def step(self) -> None:
        """Compute the next token of every request."""
        if self._graph is not None:
            self._graph.replay()
        elif self._step is not None:
            self._step()

    def capture(self, step: Callable[[], None]) -> bool:
        """Run `step` until it is compiled and, on CUDA, capture it; False when that was done before."""
        import torch

        if self._step is not None:
            return False
        self._step = step
        self.filled.start(0)
        if self.token.device.type != "cuda":
            step()
            return True
        stream: Any = torch.cuda.Stream
        side = stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                step()
        torch.cuda.current_stream().wait_stream(side)
        self.filled.start(0)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            step()
        return True


def _run_layers(
    layers: list[Any], caches: list[Any], keyword: str, hidden: torch.Tensor, more: dict[str, Any]
) -> Any:
    for layer, cache in zip(layers, caches, strict=True):
        hidden = type(layer).forward(layer, hidden, **{keyword: cache}, **more)
    return hidden


def _region_forward(region: list[Any], start: int, prefill: Any, decode: Any) -> Any:
    def call(hidden_states: torch.Tensor, **more: Any) -> Any:
        compiled = prefill
        if hidden_states.shape[1] == 1:
            compiled = decode
            for tensor in (hidden_states, *more["position_embeddings"]):
                _mark_static(tensor, range(tensor.dim()))
        # transformers has called it `past_key_values`, and calls it `cache` since 5.24.
        keyword = next(name for name, value in more.items() if isinstance(value, StaticKeyValueCache))
        caches = more.pop(keyword).layers[start : start + len(region)]
        return compiled(region, caches, keyword, hidden_states, more)

    return call


def dynamo() -> Any:
    """Return torch's tracer, whose documented settings live in a module with an underscore."""
    return import_module("torch._dynamo")


def _mark_static(tensor: torch.Tensor, dimensions: Iterable[int]) -> None:
    for dimension in dimensions:
        dynamo().mark_static(tensor, dimension)


def _passed_through(hidden_states: torch.Tensor, **_: Any) -> torch.Tensor:
    """Stand in for a layer that the first of its region has computed."""
    return hidden_states


def _decoder_layers(model: Any) -> list[Any]:
    """Return the decoder layers. Raises InvalidInput for a model that is not built of alike layers with attention."""
    inner = getattr(model, "model", None)
    layers = list(getattr(inner, "layers", ()))
    alike = layers and all(type(layer) is type(layers[0]) and hasattr(layer, "self_attn") for layer in layers)
    if not alike or not getattr(model, "_supports_attention_backend", False):
        raise InvalidInput(
            "mode", f"`compiled` cannot run {type(model).__name__}", allowed="eager for this architecture"
        )
    settings = settings_of(model)
    if settings.attention is not None or settings.kv_cache is not None:
        raise InvalidInput(
            "mode", "`compiled` has an attention and a KV cache of its own", allowed="eager for this variant"
        )
    return layers


def rows_of(workloads: Iterable[Workload]) -> tuple[int, ...]:
    """Return the numbers of tokens that the engine computes at once in these workloads: whole prompts, and single steps."""
    found = {rows for workload in workloads for rows in _rows(workload)}
    return tuple(sorted(found))


def _rows(workload: Workload) -> tuple[int, int]:
    return workload.concurrency, workload.concurrency * workload.input_tokens


def _greedy(logits: torch.Tensor) -> torch.Tensor:
    """Return the most probable next token of every request, requests x 1."""
    return logits[:, -1, :].argmax(dim=-1, keepdim=True)
