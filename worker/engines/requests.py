"""Engines that take requests one by one and batch them as they please: servers, and continuous batching in process.

Unlike an `Engine` of batches, requests come and go at different times, so each has its own clock and its own fate.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from planner.domain.runtime import Runtime


@dataclass(frozen=True)
class Request:
    """A prompt of random token ids, and how many tokens are asked for."""

    prompt: tuple[int, ...]
    output_tokens: int


@dataclass(frozen=True)
class Answer:
    """What became of one request. Times are seconds of `time.perf_counter`."""

    request: Request
    sent: float
    times: tuple[float, ...] = ()
    """When each piece with new tokens arrived; one piece may hold several tokens."""
    output_tokens: int = 0
    """Tokens generated, as the engine counts them."""
    input_tokens: int | None = None
    """Tokens of the prompt, as the engine counts them; None when it does not say."""
    error: str | None = None

    @property
    def ttft(self) -> float | None:
        """Time to the first piece, seconds; None when there was none."""
        return self.times[0] - self.sent if self.times else None

    @property
    def tpot(self) -> float | None:
        """(last - first)/(output tokens - 1), seconds; None with fewer than two tokens or pieces."""
        if len(self.times) < 2 or self.output_tokens < 2:
            return None
        return (self.times[-1] - self.times[0]) / (self.output_tokens - 1)

    @property
    def gaps(self) -> tuple[float, ...]:
        """Seconds between pieces."""
        return tuple(b - a for a, b in zip(self.times, self.times[1:], strict=False))

    @property
    def end_to_end(self) -> float | None:
        """Time to the last piece, seconds."""
        return self.times[-1] - self.sent if self.times else None


class RequestEngine(Protocol):
    """Something that answers requests, several at the same time."""

    @property
    def runtime(self) -> Runtime:
        """Engine, version and mode: part of a profile's key."""
        ...

    @property
    def vocabulary(self) -> int:
        """Number of token ids to draw prompts from."""
        ...

    @property
    def max_context(self) -> int | None:
        """Most tokens of one sequence, None when nobody says."""
        ...

    def ready(
        self, *, concurrency: int, input_tokens: int, context_tokens: int
    ) -> AbstractContextManager[None]:
        """Be ready, while the context lasts, for so many requests at once of up to these sizes."""
        ...

    def serve(self, requests: Sequence[Request], concurrency: int, deadline: float) -> list[Answer]:
        """Answer all requests, `concurrency` at a time: the next is sent when one is done (a closed loop).

        None is sent after `deadline`; those have no answer. A request that fails is an answer with its error.
        """
        ...
