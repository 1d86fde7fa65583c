"""Engines: what executes a variant. One protocol, so that measuring does not depend on which engine runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from planner.domain.runtime import Runtime

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class Generation:
    """One timed batch. `seconds[i]` runs from the call until token i of every request was on the host.

    So the first is TTFT, the differences are the gaps between tokens (ITL), the last is end to end. `tokens` is
    requests x output tokens.
    """

    seconds: tuple[float, ...]
    tokens: npt.NDArray[np.int64]

    @property
    def ttft(self) -> float:
        """Time to first token, seconds."""
        return self.seconds[0]

    @property
    def gaps(self) -> tuple[float, ...]:
        """Times between tokens, seconds."""
        return tuple(b - a for a, b in zip(self.seconds, self.seconds[1:], strict=False))

    @property
    def tpot(self) -> float | None:
        """(last - first)/(output tokens - 1), seconds; None for a single token."""
        count = len(self.seconds) - 1
        return (self.seconds[-1] - self.seconds[0]) / count if count else None

    @property
    def end_to_end(self) -> float:
        """Time to the last token, seconds."""
        return self.seconds[-1]


class Engine(Protocol):
    """A loaded variant that can generate while a clock runs."""

    @property
    def runtime(self) -> Runtime:
        """Engine, version and mode: part of a profile's key."""
        ...

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        ...

    @property
    def max_context(self) -> int | None:
        """Most tokens of one sequence, None when the model does not say."""
        ...

    def generate(self, prompts: npt.NDArray[np.int64], output_tokens: int) -> Generation:
        """Generate greedily for `prompts` (requests x tokens), all requests in one batch."""
        ...


class HoldsModel(Protocol):
    """Something whose model is in this process, so that its memory can be told apart.

    One that also has a `cache` property (the KV cache object of its latest work) is asked for it, one that has a
    `compile_seconds` property (float, None when nothing was compiled) for that, and one that has a method
    `prepare(workload)` compiles ahead what the workload needs; all may be missing.
    """

    @property
    def model(self) -> Any:
        """The torch module: its parameters and persistent buffers are the weights."""
        ...

    @property
    def attention(self) -> str:
        """The attention implementation in use."""
        ...


class ModelEngine(Engine, HoldsModel, Protocol):
    """An engine of batches whose model is in this process."""
