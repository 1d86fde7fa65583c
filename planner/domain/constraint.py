"""Constraints: the hard bounds of a question. Each one carries its own sentence and knows how it is relaxed."""

from __future__ import annotations

import math
import re
from enum import StrEnum

import msgspec

from planner.domain.loss import CONFIDENCE, LossKind
from planner.domain.price import MAX_PER_HOUR, check_currency
from planner.domain.scheme import Scheme
from planner.domain.units import format_bytes, format_ratio, format_seconds
from planner.errors import InvalidInput


class LatencyMetric(StrEnum):
    """What is timed. TPOT is per request and leaves the first token out; ITL is one gap between tokens."""

    TTFT = "ttft"
    TPOT = "tpot"
    ITL = "itl"
    END_TO_END = "e2e"


class Scope(StrEnum):
    """Whether throughput counts one request or all concurrent ones together."""

    REQUEST = "request"
    AGGREGATE = "aggregate"


class Direction(StrEnum):
    """Which way a bound is loosened."""

    UP = "up"
    DOWN = "down"


def _check_limit(field: str, value: float, *, top: float) -> None:
    if not (math.isfinite(value) and 0 <= value <= top):
        raise InvalidInput(field, f"{value} is out of range", allowed=f"0 to {top:g}")


class LossLimit(
    msgspec.Struct, frozen=True, kw_only=True, tag="loss", forbid_unknown_fields=True, omit_defaults=True
):
    """Loss at most `limit`: a ratio when relative (0.01 is 1 %), percentage points when absolute."""

    limit: float
    kind: LossKind = LossKind.RELATIVE
    task: str | None = None
    certified_only: bool = False
    confidence: float = CONFIDENCE

    def __post_init__(self) -> None:
        _check_limit("loss.limit", self.limit, top=1.0 if self.kind is LossKind.RELATIVE else 100.0)
        if not 0.5 < self.confidence < 1:
            raise InvalidInput(
                "loss.confidence", f"{self.confidence} is out of range", allowed="more than 0.5, less than 1"
            )

    @property
    def key(self) -> str:
        """Stable name of this constraint inside a scenario."""
        return f"loss:{self.task}" if self.task else "loss"

    @property
    def direction(self) -> Direction:
        """A larger limit is looser."""
        return Direction.UP

    def describe(self) -> str:
        """Return the constraint in words."""
        size = format_ratio(self.limit) if self.kind is LossKind.RELATIVE else f"{self.limit:g} points"
        where = f" on {self.task}" if self.task else ""
        return f"{self.kind.value} loss{where} ≤ {size}{' (certified)' if self.certified_only else ''}"


class LatencyLimit(
    msgspec.Struct, frozen=True, kw_only=True, tag="latency", forbid_unknown_fields=True, omit_defaults=True
):
    """A latency quantile (mean, p50, p90, p95, p99) of at most `limit` seconds."""

    metric: LatencyMetric
    limit: float
    quantile: str = "p50"

    def __post_init__(self) -> None:
        _check_limit(f"{self.metric.value}.limit", self.limit, top=1e7)
        if self.quantile not in {"mean", "p50", "p90", "p95", "p99"}:
            raise InvalidInput(
                "quantile", f"`{self.quantile}` is unknown", allowed="mean, p50, p90, p95, p99"
            )

    @property
    def key(self) -> str:
        """Stable name of this constraint inside a scenario."""
        return self.metric.value

    @property
    def direction(self) -> Direction:
        """A larger limit is looser."""
        return Direction.UP

    def describe(self) -> str:
        """Return the constraint in words."""
        return f"{self.quantile} {self.metric.value.upper()} ≤ {format_seconds(self.limit)}"


class ThroughputFloor(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="throughput",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """At least `limit` generated tokens per second."""

    limit: float
    scope: Scope = Scope.AGGREGATE

    def __post_init__(self) -> None:
        _check_limit("throughput.limit", self.limit, top=1e9)

    @property
    def key(self) -> str:
        """Stable name of this constraint inside a scenario."""
        return "throughput"

    @property
    def direction(self) -> Direction:
        """A smaller floor is looser."""
        return Direction.DOWN

    def describe(self) -> str:
        """Return the constraint in words."""
        return (
            f"throughput ≥ {self.limit:,.10g} tokens/s{' per request' if self.scope is Scope.REQUEST else ''}"
        )


class DiskLimit(msgspec.Struct, frozen=True, kw_only=True, tag="disk", forbid_unknown_fields=True):
    """Files of at most `limit` bytes."""

    limit: int

    def __post_init__(self) -> None:
        _check_limit("disk.limit", self.limit, top=2.0**60)

    @property
    def key(self) -> str:
        """Stable name of this constraint inside a scenario."""
        return "disk"

    @property
    def direction(self) -> Direction:
        """A larger limit is looser."""
        return Direction.UP

    def describe(self) -> str:
        """Return the constraint in words."""
        return f"size on disk ≤ {format_bytes(self.limit, binary=False)}"


class CostBasis(StrEnum):
    """What a cost is counted over."""

    HOUR = "hour"
    MILLION_TOKENS = "million-tokens"
    """A million generated tokens over all requests together."""


def cost_key(per: CostBasis) -> str:
    """Return the key of a cost limit on this basis."""
    return "cost" if per is CostBasis.MILLION_TOKENS else "cost-per-hour"


class CostLimit(
    msgspec.Struct, frozen=True, kw_only=True, tag="cost", forbid_unknown_fields=True, omit_defaults=True
):
    """A cost of at most `limit`, in `currency` or, without one, in that of the price the devices have."""

    limit: float
    per: CostBasis = CostBasis.MILLION_TOKENS
    currency: str | None = None

    def __post_init__(self) -> None:
        _check_limit("cost.limit", self.limit, top=MAX_PER_HOUR)
        if self.currency is not None:
            check_currency("cost.currency", self.currency)

    @property
    def key(self) -> str:
        """Stable name of this constraint inside a scenario."""
        return cost_key(self.per)

    @property
    def direction(self) -> Direction:
        """A larger limit is looser."""
        return Direction.UP

    def describe(self) -> str:
        """Return the constraint in words."""
        amount = f"{self.currency} {self.limit:.6g}" if self.currency else f"{self.limit:.6g}"
        over = "per hour" if self.per is CostBasis.HOUR else "per million output tokens"
        return f"cost ≤ {amount} {over}"


class SchemeFilter(
    msgspec.Struct, frozen=True, kw_only=True, tag="scheme", forbid_unknown_fields=True, omit_defaults=True
):
    """Only (or, with `exclude`, never) schemes that answer to one of these words."""

    words: tuple[str, ...]
    exclude: bool = False

    def __post_init__(self) -> None:
        if not self.words or not all(self.words):
            raise InvalidInput("scheme.words", "are empty", allowed="at least one word such as int4 or awq")

    def admits(self, scheme: Scheme) -> bool:
        """Return whether `scheme` passes: it answers to one of the words, or to none when they are excluded."""
        return scheme.terms().isdisjoint(self.words) is self.exclude

    @property
    def key(self) -> str:
        """Stable name of this constraint inside a scenario."""
        return "scheme-excluded" if self.exclude else "scheme"

    def describe(self) -> str:
        """Return the constraint in words."""
        return f"scheme {'not ' if self.exclude else ''}{' or '.join(self.words)}"


class RuntimeFilter(
    msgspec.Struct, frozen=True, kw_only=True, tag="runtime", forbid_unknown_fields=True, omit_defaults=True
):
    """Must run under this runtime, and load in this version of it; latency evidence of others does not count."""

    name: str
    version: str | None = None

    def __post_init__(self) -> None:
        if self.version is not None and not re.fullmatch(r"[0-9]+(?:\.[0-9]+){0,3}", self.version):
            raise InvalidInput(
                "runtime.version", f"`{self.version}` is not understood", allowed="numbers such as 0.10.1"
            )

    @property
    def key(self) -> str:
        """Stable name of this constraint inside a scenario."""
        return "runtime"

    def describe(self) -> str:
        """Return the constraint in words."""
        return f"runtime {self.name}" + (f" {self.version}" if self.version else "")


class FormatFilter(msgspec.Struct, frozen=True, kw_only=True, tag="format", forbid_unknown_fields=True):
    """Files must be in this format: safetensors or gguf."""

    name: str

    @property
    def key(self) -> str:
        """Stable name of this constraint inside a scenario."""
        return "format"

    def describe(self) -> str:
        """Return the constraint in words."""
        return f"format {self.name}"


class LicenseFilter(msgspec.Struct, frozen=True, kw_only=True, tag="license", forbid_unknown_fields=True):
    """The model's license must contain `name`; "commercial" means one that permits commercial use."""

    name: str

    @property
    def key(self) -> str:
        """Stable name of this constraint inside a scenario."""
        return "license"

    def describe(self) -> str:
        """Return the constraint in words."""
        return f"license {self.name}"


NumericConstraint = LossLimit | LatencyLimit | ThroughputFloor | DiskLimit | CostLimit
CategoryConstraint = SchemeFilter | RuntimeFilter | FormatFilter | LicenseFilter
Constraint = NumericConstraint | CategoryConstraint
