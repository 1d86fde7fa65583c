"""The accuracy page: what `planner validate` found, in words and tables, and the numbers that later runs are held against."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from planner.errors import InvalidInput
from planner.estimate.conformal import CONFIDENCE, LEAST_GROUPS, LEAST_POINTS, Distance
from planner.estimate.validation_memory import RISK, MemoryScore
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
_FENCE: Final = "```json baseline"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one validation found."""

    scores: tuple[Score, ...]
    memory: tuple[MemoryScore, ...]
    recordings: int
    """Workload points with a time or a peak, on all devices."""
    devices: int
    sources: int
    left_out_peaks: int
    """Published peaks that cannot be peaks of a device and are not scored."""


def _percent(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "–"
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
    ("weights", "physics"): "weights: printed size, from architecture and scheme alone",
    ("weights", "variant's figure"): "weights: counted on a device, from the variant's own figure",
    ("peak", "point"): "peak: from other points of the same run",
    ("peak", "variant"): "peak: from physics alone, as for a variant never measured",
}


def _memory(report: Report) -> list[str]:
    rows = [
        (
            _KINDS[s.kind, s.protocol], s.memory, str(s.trials), str(s.variants), _percent(s.median_error),
            _percent(s.p90_error), _percent(s.bias, signed=True), _percent(s.coverage), f"×{s.median_width:.2f}",
            _percent(s.false_fit_rate),
            "–" if s.card_verdicts is None else f"{s.card_false_fits} of {s.card_verdicts}",
        )
        for s in report.memory
    ]  # fmt: skip
    head = (
        "figure", "memory", "n", "variants", "median error", "90th pct.", "bias", "coverage of 95 %",
        "interval, upper/lower", "false fits, tightest", "false fits, cards",
    )  # fmt: skip
    return [
        "## Memory",
        "",
        (
            "*False fits, tightest*: the peak was above the smallest capacity at which the estimate says it fits with a risk of "
            f'{RISK:.0%}. *Cards*: the verdicts "fits" on usual card sizes of which at most half stayed free, and how many were '
            f"wrong. {report.left_out_peaks} published peaks are not scored: they are less than weights and KV cache, or come from "
            "the same table as such. Intervals of memory are priors and are not calibrated: peaks of too few models are known. Host memory that our workers "
            "measured is counted above what the process held before loading, while the estimate includes interpreter and "
            "libraries: of a model of a few million parameters that is most of the estimate."
        ),
        "",
        *_table(head, rows),
    ]


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
    ]
    return "\n".join(lines)


def _rounded(score: Score) -> dict[str, object]:
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in msgspec.structs.asdict(score).items()
    }


def baseline(page: str) -> tuple[Score, ...]:
    """Return the scores that a page carries. Raises InvalidInput where it has none or they are damaged."""
    _, found, rest = page.partition(_FENCE + "\n")
    block, closed, _ = rest.partition("\n```")
    if not found or not closed:
        raise InvalidInput(
            "against", "has no baseline", allowed="a page written by `planner validate --write`"
        )
    try:
        return tuple(msgspec.json.Decoder(Score).decode_lines(block))
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidInput("against", f"has a damaged baseline: {error}") from error
