"""The accuracy page: what `planner validate` found, in words and tables, and the numbers that later runs are held against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from planner.errors import InvalidInput
from planner.estimate.conformal import CONFIDENCE, LEAST_GROUPS, LEAST_POINTS, Distance
from planner.estimate.validation_memory import RISK
from planner.estimate.validation_memory_scores import AIMS, RISKS, MemoryScore
from planner.estimate.validation_scores import TOLERANCE, Score

NAMES: Final = {
    "tpot": "TPOT",
    "ttft": "TTFT",
    "end_to_end": "End-to-end time",
    "per_token": "Throughput (as seconds per token of all requests)",
}
HELD_OUT: Final = {
    "point": "a workload point of a measured variant",
    "variant": "a variant",
    "device": "a device",
    "source": "a source",
}
S = TypeVar("S", Score, MemoryScore)
_FENCE: Final = "```json baseline"
_MEMORY_FENCE: Final = "```json memory"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one validation found."""

    scores: tuple[Score, ...]
    memory: tuple[MemoryScore, ...]
    recordings: int
    """Workload points with a time or a peak, on all devices."""
    devices: int
    sources: int
    left_out: Mapping[str, int]
    """Recorded bytes that are not scored, by reason."""


def _percent(value: float | None, *, signed: bool = False, fine: bool = False) -> str:
    if value is None:
        return "–"
    if fine and value < 0.01:
        return f"{value:.2%}"
    return f"{value:+.1%}" if signed else f"{value:.1%}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'|'.join('---' if i < 2 else '---:' for i in range(len(head)))}|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]


def _evidence(score: Score) -> str:
    return "all" if score.distance is None else Distance[score.distance.upper()].words


def _coverage(score: Score) -> str:
    return _percent(score.coverage) + ("" if score.calibrated else " (uncalibrated)")


def _metric(report: Report, metric: str) -> list[str]:
    rows = [
        (
            HELD_OUT[s.protocol], _evidence(s), str(s.trials), str(s.groups), _percent(s.median_error),
            _percent(s.p90_error), _percent(s.bias, signed=True), _coverage(s),
            "–" if s.median_width is None else f"×{s.median_width:.2f}", str(s.unanswered) if s.unanswered else "",
        )
        for s in report.scores
        if s.metric == metric
    ]  # fmt: skip
    head = (
        "held out", "nearest evidence left", "n", "groups", "median error", "90th pct.", "bias", "coverage",
        "interval, upper/lower", "no estimate",
    )  # fmt: skip
    return [f"## {NAMES[metric]}", "", *_table(head, rows)] if rows else []


_KINDS: Final = {
    ("weights", "headers"): "weights: counted on a device, from the headers of the variant's files",
    ("weights", "scheme, counted"): "weights: counted on a device, from architecture and scheme alone",
    ("weights", "scheme"): "weights: printed or in headers, from architecture and scheme alone",
    ("weights", "mix"): "weights: printed or in headers, from architecture and GGUF mix alone",
    ("held", "variant"): "weights and KV cache held after a run, from physics alone",
    ("allocator", "variant"): "an allocator's peak, from physics alone",
    ("peak", "point"): "peak: from other points of the same run",
    ("peak", "variant"): "peak: from physics alone, as for a variant never measured",
    ("footprint", "variant"): "peak with what the allocator kept free: from physics alone",
}


def _memory(report: Report) -> list[str]:
    order = {key: place for place, key in enumerate(_KINDS)}
    scores = sorted(report.memory, key=lambda s: (order[s.kind, s.protocol], s.memory))
    rows = [
        (
            _KINDS[s.kind, s.protocol], s.memory, str(s.trials), str(s.variants), _percent(s.median_error, fine=True),
            _fine_aim(s), _percent(s.p90_error), _percent(s.bias, signed=True), _percent(s.coverage), f"×{s.median_width:.2f}",
            _percent(s.false_fit_rate),
            "–" if s.card_verdicts is None else f"{s.card_false_fits} of {s.card_verdicts}",
        )
        for s in scores
    ]  # fmt: skip
    head = (
        "figure", "memory", "n", "variants", "median error", "promised", "90th pct.", "bias", "coverage of 95 %",
        "interval, upper/lower", "false fits, tightest", "false fits, cards",
    )  # fmt: skip
    risks = [
        (_KINDS[s.kind, s.protocol], s.memory, str(s.trials), *(_percent(rate) for rate in s.false_fits))
        for s in scores
        if s.false_fits
    ]
    return [
        "## Memory",
        "",
        (
            "A *peak* is what was needed: blocks that PyTorch's allocator keeps free are given back before it fails, and are "
            "scored apart. Every figure is held against an estimate by its own definition: an allocator's peak without the "
            "context, what was held after a run without activations. *False fits, tightest*: the peak was above the smallest "
            f'capacity at which the estimate says it fits with a risk of {RISK:.0%}. *Cards*: the verdicts "fits" on usual card '
            "sizes of which at most half stayed free, and how many were wrong. Intervals of memory are priors and are not "
            "calibrated: peaks of too few models are known."
        ),
        "",
        *_table(head, rows),
        "Share of peaks above the smallest capacity that was said to be enough, by the risk asked for:",
        "",
        *_table(("figure", "memory", "n", *(f"{risk:.0%}" for risk in RISKS)), risks),
        "Not scored:",
        "",
        *(f"- {count} {reason}" for reason, count in report.left_out.items()),
        "",
    ]


def _fine_aim(score: MemoryScore) -> str:
    aim = AIMS.get(score.key)
    return "–" if aim is None else f"{aim:.1%}"


def render(report: Report) -> str:
    """Return the page as Markdown."""
    least, most = TOLERANCE.coverage_band
    lines = [
        "# Accuracy of the estimates",
        "",
        "Written by `planner validate --built-in --write docs/accuracy.md`; not edited by hand.",
        "",
        (
            f"{report.recordings:,} recorded workload points of {report.devices} device types from {report.sources} sources are "
            "estimated by the estimators that answer questions, each without the evidence it is compared with: without the point "
            "itself, or without its variant, its device, or its source anywhere. What the estimators learn is learned again "
            "without it."
        ),
        "",
        (
            "*Error* is |estimated / recorded − 1|. *Bias* is the geometric mean of estimated / recorded, less 1. *Coverage* is "
            f"the share of recordings inside their {CONFIDENCE:.0%} interval, whose width is made from the residuals of other groups "
            "only (a group is what is held out; of a point, its variant). *Uncalibrated* intervals are assumed: fewer than "
            f"{LEAST_POINTS} residuals, or of fewer than {LEAST_GROUPS} groups, stand behind them. Held-out sources are the "
            "hardest test: calibration assumes that the next source resembles those known, and publications differ in what they "
            "call a time to first token."
        ),
        "",
    ]
    for metric in NAMES:
        lines += _metric(report, metric)
    lines += _memory(report)
    lines += [
        "## Baseline",
        "",
        (
            "A later run is a regression when a median or 90th percentile grows by more than a factor of "
            f"{TOLERANCE.error_factor} (of {TOLERANCE.new_evidence_factor} where recordings were added) and by more than "
            f"{TOLERANCE.error_slack:.1%}, when a group is no longer scored, or when the "
            f"intervals that at least {TOLERANCE.coverage_points} residuals calibrate cover less than {least:.0%} or more than "
            f"{most:.0%}. `planner validate --against docs/accuracy.md` says so with exit status 3."
        ),
        "",
        _FENCE,
        *(msgspec.json.encode(_rounded(score)).decode() for score in report.scores),
        "```",
        "",
        (
            "Of memory a median or 90th percentile may grow by a tenth or by 0.2%, no median may exceed what is promised, and the "
            f"false fits may not grow beyond {RISK:.0%} or what they are."
        ),
        "",
        _MEMORY_FENCE,
        *(msgspec.json.encode(_rounded(score)).decode() for score in report.memory),
        "```",
        "",
    ]
    return "\n".join(lines)


def _rounded(score: Score | MemoryScore) -> dict[str, object]:
    found: dict[str, object] = msgspec.structs.asdict(score)
    for name, value in found.items():
        if isinstance(value, float):
            found[name] = round(value, 5)
    if isinstance(score, MemoryScore):
        found["false_fits"] = [round(rate, 4) for rate in score.false_fits]
    return found


def _block(page: str, fence: str, record: type[S]) -> tuple[S, ...]:
    _, found, rest = page.partition(fence + "\n")
    block, closed, _ = rest.partition("\n```")
    if not found or not closed:
        raise InvalidInput(
            "against", "has no baseline", allowed="a page written by `planner validate --write`"
        )
    try:
        return tuple(msgspec.json.Decoder(record).decode_lines(block))
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidInput("against", f"has a damaged baseline: {error}") from error


def baseline(page: str) -> tuple[Score, ...]:
    """Return the scores of times that a page carries. Raises InvalidInput where it has none or they are damaged."""
    return _block(page, _FENCE, Score)


def memory_baseline(page: str) -> tuple[MemoryScore, ...]:
    """Return the scores of memory that a page carries. Raises InvalidInput where it has none or they are damaged."""
    return _block(page, _MEMORY_FENCE, MemoryScore)
