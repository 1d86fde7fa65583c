"""One validation from records to report: the entry for whoever holds the evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from planner.estimate.conformal import Distance, Width
from planner.estimate.effects import GeneralEffects
from planner.estimate.validation import Records, trials
from planner.estimate.validation_memory import left_out, peak_trials
from planner.estimate.validation_memory_scores import memory_scores, peak_calibration
from planner.estimate.validation_page import Report
from planner.estimate.validation_scores import calibration_of, scores


@dataclass(frozen=True, slots=True)
class Validation:
    """The report, and what the same evidence teaches the estimators."""

    report: Report
    effects: dict[str, GeneralEffects]
    widths: dict[str, dict[Distance, Width]]


def validate(records: Records, *, each: Callable[[], None] | None = None) -> Validation:
    """Return what holding out every recording shows; `each` is called after each of about `folds(records)` folds."""
    found = trials(records, each=each)
    report = Report(
        scores=scores(found),
        memory=memory_scores(records),
        recordings=records.count,
        devices=len(records.sites),
        sources=len({source for site in records.sites for source in site.sources}),
        left_out=left_out(records),
    )
    widths = {**calibration_of(found), "peak": peak_calibration(peak_trials(records))}
    return Validation(report, records.general(np.zeros(records.count, dtype=np.bool_)), widths)
