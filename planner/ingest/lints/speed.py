"""Lints on times and rates: L5, L8 to L13 and L20 to L22."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from planner.domain.profile import MIN_SAMPLES_FOR_P99, Distribution, Stability
from planner.ingest.imported import Finding, Timing
from planner.ingest.lints.finding import warn

COALESCED: Final = 0.1
"""Share of the TPOT below which a median gap shows coalesced chunks (L10)."""
DEFINITION_TOLERANCE: Final = 0.2
"""Relative difference from (end to end - TTFT)/(tokens - 1) above which a TPOT is defined in another way (L11)."""
SPREAD: Final = 0.05
REPETITIONS: Final = 5
RETOKENISED: Final = 0.05


def seconds_by_another_name(findings: list[Finding], name: str) -> float:
    """L5: return the seconds in a unit of a field that has lost its `_ms`: such forks of the format write seconds."""
    warn(
        findings, "L5", f"`{name}` has no unit in its name; forks that drop `_ms` write seconds, read as such"
    )
    return 1.0


def warm_cache(findings: list[Finding], *, caching: str | None, warmups: float | None) -> None:
    """L8: say that a serving run may have been answered from the prefix cache, unless the file rules it out."""
    if caching is not None and caching.strip().lower() in {"off", "false", "0", "disabled", "no"}:
        return
    state = "on" if caching is not None else "not stated"
    warm = "not stated" if warmups is None else f"{warmups:g}"
    if warmups is not None and warmups > 0 and caching is None:
        return
    warn(
        findings,
        "L8",
        f"prefix caching {state}, warm-up requests {warm}: with the default fixed seed a repeated run is answered "
        "from the cache; may be warm-cache",
    )


def zero_is_missing(findings: list[Finding], name: str, value: float | None) -> float | None:
    """L9: return None for a latency of exactly 0, which the tool writes where it has no value."""
    if value == 0:
        warn(findings, "L9", f"`{name}` is exactly 0: the tool writes that for a missing value; left out")
        return None
    return value


def coalesced(findings: list[Finding], timing: Timing) -> Timing:
    """L10: leave out gaps whose median is far below the TPOT's: chunks hold several tokens; TPOT is what counts."""
    if timing.itl is None or timing.tpot is None:
        return timing
    itl, tpot = timing.itl.p50, timing.tpot.p50 if timing.tpot.p50 is not None else timing.tpot.mean
    if itl is None or not itl < COALESCED * tpot:
        return timing
    warn(
        findings,
        "L10",
        f"median gap {itl:.3g} s against TPOT {tpot:.3g} s: chunks were coalesced; the gaps are left out, TPOT is kept",
    )
    facts = {**timing.facts, "itl_p50_as_written": itl}
    return msgspec.structs.replace(timing, itl=None, facts=facts)


def defined_alike(findings: list[Finding], timing: Timing) -> Timing:
    """L11: hold the TPOT against (end to end - TTFT)/(output tokens - 1) of the means.

    Where they are far apart the file counts chunks or divides by another number; then the recomputed mean is kept, without
    percentiles, and the written one stays as a fact.
    """
    tokens, tpot = timing.load.output_tokens, timing.tpot
    if tpot is None or timing.ttft is None or timing.end_to_end is None or tokens is None or tokens < 2:
        return timing
    expected = (timing.end_to_end.mean - timing.ttft.mean) / (tokens - 1)
    if expected <= 0 or abs(tpot.mean - expected) <= DEFINITION_TOLERANCE * expected:
        return timing
    warn(
        findings,
        "L11",
        f"mean TPOT is written as {tpot.mean:.4g} s, but (end to end - TTFT)/(tokens - 1) of the means is "
        f"{expected:.4g} s: defined in another way; the recomputed mean is kept, without percentiles",
    )
    facts = {**timing.facts, "tpot_mean_as_written": tpot.mean}
    kept = Distribution(samples=tpot.samples, mean=expected)
    return msgspec.structs.replace(timing, tpot=kept, facts=facts)


def recomputed_tpot(
    end_to_end: Sequence[float], ttft: Sequence[float], tokens: Sequence[float]
) -> list[float]:
    """L11: return the TPOT of each request, (end to end - TTFT)/(output tokens - 1), where it has two tokens or more."""
    return [
        (whole - first) / (n - 1)
        for whole, first, n in zip(end_to_end, ttft, tokens, strict=False)
        if n >= 2 and whole > first > 0
    ]


def unstable(
    findings: list[Finding], what: str, *, mean: float, stddev: float | None, repetitions: int | None
) -> Stability | None:
    """L12: judge repetitions: fewer than five, or a spread above 5 % of the mean, is unstable."""
    reasons: list[str] = []
    if repetitions is None:
        reasons.append("the number of repetitions is not written")
    elif repetitions < REPETITIONS:
        reasons.append(f"{repetitions} repetitions, fewer than {REPETITIONS}")
    if stddev is not None and mean > 0 and stddev > SPREAD * mean:
        reasons.append(f"spread {stddev / mean:.1%} of the mean, above {SPREAD:.0%}")
    if not reasons:
        return Stability(verdict="stable")
    warn(findings, "L12", f"{what}: {'; '.join(reasons)}")
    return Stability(verdict="unstable", reason="; ".join(reasons))


def supported_p99(findings: list[Finding], what: str, *, samples: int, p99: float | None) -> float | None:
    """L13: return a p99 only where at least 100 samples support it."""
    if p99 is None or samples >= MIN_SAMPLES_FOR_P99:
        return p99
    warn(findings, "L13", f"{what}: p99 of {samples} samples is an upper bound at best; not stored as p99")
    return None


def polluted_window(findings: list[Finding], *, client: int, server: int) -> str | None:
    """L20: return why the server's counters are not the client's run; None when the counts agree."""
    if client == server:
        return None
    message = (
        f"the server counted {server} requests and the client sent {client}: its window covers other traffic"
    )
    warn(findings, "L20", message)
    return message


def retokenised(findings: list[Finding], *, reported: float | None, retokenised: float | None) -> None:
    """L21: say when reported output tokens and those counted again from the text differ by more than 5 %."""
    if not reported or not retokenised or abs(retokenised - reported) <= RETOKENISED * reported:
        return
    warn(
        findings,
        "L21",
        f"{reported:.0f} output tokens reported, {retokenised:.0f} counted again from the text; the reported ones are used",
    )


def survivors(findings: list[Finding], *, failed: int, completed: int) -> float | None:
    """L22: return the share of requests that failed; with any, every time is the survivors'."""
    total = failed + completed
    if total == 0:
        return None
    if failed:
        warn(findings, "L22", f"{failed} of {total} requests failed: all times are those of the others")
    return failed / total
