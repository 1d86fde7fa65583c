"""The constraints that the clauses of a query state, with the words that belong to the clause beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from planner.choose.language import words
from planner.choose.language.amounts import contradiction, pointing_at, refuse_bound
from planner.choose.language.clauses import (
    Clause,
    CostStated,
    DiskStated,
    FormatNamed,
    LatencyStated,
    LicenseNamed,
    QuantileNamed,
    RuntimeNamed,
    SchemesNamed,
    Separator,
    ThroughputStated,
    Unlimited,
)
from planner.choose.language.gathered import Limits
from planner.choose.language.losses import read_losses
from planner.choose.language.text import Source
from planner.domain.constraint import (
    CostBasis,
    CostLimit,
    Direction,
    DiskLimit,
    FormatFilter,
    LatencyLimit,
    LicenseFilter,
    RuntimeFilter,
    SchemeFilter,
    Scope,
    ThroughputFloor,
)
from planner.domain.scenario import Origin
from planner.domain.units import parse_bytes, parse_seconds

_BASES: Final = {CostBasis.HOUR: "per hour", CostBasis.MILLION_TOKENS: "per million tokens"}


def read_limits(source: Source, clauses: Sequence[Clause]) -> Limits:
    """Return the constraints of a query. Raises InvalidQuery on contradictions and impossible numbers."""
    limits = Limits(source)
    for clause in clauses:
        if isinstance(clause, Unlimited):
            limits.unlimited[clause.key] = clause
    read_losses(limits, clauses)
    _read_latencies(limits, clauses)
    _read_schemes(limits, clauses)
    for clause in clauses:
        match clause:
            case ThroughputStated():
                limits.add(clause, _throughput(limits, clause))
            case CostStated():
                limits.add(clause, _cost(source, clause))
            case DiskStated():
                limits.add(clause, _disk(source, clause))
            case RuntimeNamed():
                limits.add(clause, RuntimeFilter(name=clause.name, version=clause.version))
            case FormatNamed():
                limits.add(clause, FormatFilter(name=clause.name))
            case LicenseNamed():
                limits.add(clause, LicenseFilter(name=clause.name))
            case _:
                pass
    return limits


def _read_latencies(limits: Limits, clauses: Sequence[Clause]) -> None:
    """Add latency limits; a quantile on its own belongs to the latency just before it, else to the next one."""
    stated: list[tuple[LatencyStated, list[str]]] = []
    waiting: QuantileNamed | None = None
    last: list[str] | None = None
    for clause in clauses:
        match clause:
            case LatencyStated():
                last = [clause.quantile] if clause.quantile else []
                if waiting is not None and not last:
                    last.append(waiting.quantile)
                    waiting = None
                stated.append((clause, last))
            case QuantileNamed() if last is not None and not last:
                last.append(clause.quantile)
            case QuantileNamed():
                if waiting is not None:
                    raise contradiction(limits.source, "percentile", waiting, clause)
                waiting = clause
            case Separator():
                pass
            case _:
                last = None
    if waiting is not None:
        raise limits.source.error(
            f"no latency is given for `{waiting.quantile}`",
            waiting.start,
            waiting.end,
            expected=(f"`{waiting.quantile} TTFT < 500ms`",),
        )
    for clause, quantiles in stated:
        limits.add(clause, _latency(limits.source, clause, quantiles))
        origin = Origin.ASKED if quantiles else Origin.DEFAULT
        limits.origins[f"{clause.metric.value}.quantile"] = origin


def _latency(source: Source, clause: LatencyStated, quantiles: Sequence[str]) -> LatencyLimit:
    name = clause.metric.value.upper()
    text = f"{clause.limit.number:f}{clause.limit.unit}"
    refuse_bound(source, clause.limit, Direction.UP, f"{name} is bounded from above", f"{name} ≤ {text}")
    with pointing_at(source, clause.limit):
        return LatencyLimit(
            metric=clause.metric,
            limit=parse_seconds(text, field=f"{clause.metric.value}.limit"),
            quantile=quantiles[0] if quantiles else "p50",
        )


def _throughput(limits: Limits, clause: ThroughputStated) -> ThroughputFloor:
    refuse_bound(
        limits.source,
        clause.rate,
        Direction.DOWN,
        "throughput is bounded from below",
        f"≥ {clause.rate.number:f} tok/s",
    )
    limits.origins["throughput.scope"] = Origin.DEFAULT if clause.scope is None else Origin.ASKED
    with pointing_at(limits.source, clause.rate):
        return ThroughputFloor(limit=float(clause.rate.number), scope=clause.scope or Scope.AGGREGATE)


def _cost(source: Source, clause: CostStated) -> CostLimit:
    if clause.amount.unit == "¥":
        raise source.error(
            "`¥` stands for two currencies",
            clause.amount.start,
            clause.amount.end,
            expected=tuple(f"{clause.amount.number:f} {code}" for code in ("CNY", "JPY")),
        )
    amount = f"{clause.amount.unit} {clause.amount.number:f}".lstrip()
    if clause.basis is None:
        raise source.error(
            f"`{source.original_slice(clause.start, clause.end)}` does not say what costs as much",
            clause.start,
            clause.end,
            expected=(f"`{amount} per hour`", f"`{amount} per million tokens`"),
        )
    refuse_bound(
        source,
        clause.amount,
        Direction.UP,
        "cost is bounded from above",
        f"cost ≤ {amount} {_BASES[clause.basis]}",
    )
    with pointing_at(source, clause.amount):
        return CostLimit(
            limit=float(clause.amount.number), per=clause.basis, currency=clause.amount.unit or None
        )


def _disk(source: Source, clause: DiskStated) -> DiskLimit:
    text = f"{clause.size.number:f}{clause.size.unit}"
    refuse_bound(
        source, clause.size, Direction.UP, "size on disk is bounded from above", f"under {text} on disk"
    )
    with pointing_at(source, clause.size):
        return DiskLimit(limit=parse_bytes(text, field="disk.limit", binary=False))


def _read_schemes(limits: Limits, clauses: Sequence[Clause]) -> None:
    """Add the scheme filters. Exclusions add up; schemes wanted in two places contradict each other."""
    excluded: list[str] = []
    place: Clause | None = None
    for clause in clauses:
        if not isinstance(clause, SchemesNamed):
            continue
        named, exclude = _scheme_names(limits.source, clause)
        if exclude:
            excluded += named
            place = place or clause
        else:
            limits.add(clause, SchemeFilter(words=tuple(dict.fromkeys(named))))
    if place is not None:
        limits.add(place, SchemeFilter(words=tuple(dict.fromkeys(excluded)), exclude=True))


def _scheme_names(source: Source, clause: SchemesNamed) -> tuple[list[str], bool]:
    """Return the words of a scheme clause and whether they are excluded: "quantized" excludes the 16- and 32-bit ones."""
    named: list[str] = []
    for scheme in clause.schemes:
        word = words.joined_scheme(scheme.words)
        if word is None:
            raise source.error(
                f"scheme is given twice: `{' '.join(scheme.words)}`",
                scheme.start,
                scheme.end,
                expected=(f"`{' or '.join(scheme.words)}`",),
            )
        if word.startswith("safetensor"):
            raise source.error(
                "safetensors cannot be excluded; ask for the other format",
                scheme.start,
                scheme.end,
                suggestion="gguf",
            )
        named.append(word)
    if named in (["quantized"], ["quantised"]):
        return list(words.REFERENCE_SCHEMES), not clause.exclude
    if named in (["unquantized"], ["unquantised"], ["未量化"]):
        return list(words.REFERENCE_SCHEMES), clause.exclude
    return named, clause.exclude
