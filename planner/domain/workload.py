"""Workloads: how much is asked of a model at once."""

from __future__ import annotations

import msgspec

from planner.errors import InvalidInput


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """One workload point: tokens in and out of each request, and how many requests run at the same time."""

    input_tokens: int = 1024
    output_tokens: int = 256
    concurrency: int = 1

    def __post_init__(self) -> None:
        for field, top in (
            ("input_tokens", 100_000_000),
            ("output_tokens", 100_000_000),
            ("concurrency", 1_000_000),
        ):
            value = getattr(self, field)
            if not 1 <= value <= top:
                raise InvalidInput(f"workload.{field}", f"{value} is out of range", allowed=f"1 to {top}")

    @property
    def context_tokens(self) -> int:
        """Tokens a sequence holds when it ends: what its KV cache must have room for."""
        return self.input_tokens + self.output_tokens

    def __str__(self) -> str:
        return f"{self.input_tokens} in, {self.output_tokens} out, concurrency {self.concurrency}"
