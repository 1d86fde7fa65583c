"""Narrowing: of all rows a question is about, only those judged in full that its answer can show.

Few rows are judged one by one. Of many, a survey says which are accepted, and a shortlist which of them an answer shows;
both ways give the same answer to the byte.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from planner.choose.feasible import Assessment, assess_rows, assess_selected
from planner.choose.index import Index
from planner.choose.patterns import MOST
from planner.choose.rank import rank
from planner.choose.setting import Setting
from planner.choose.shortlist import Shortlist
from planner.choose.survey import Survey

FEW: Final = 256
"""Rows up to which each is judged in full."""
_ALWAYS: Final = 8
"""More than the constraints that no question has to name: state, support, context, memory, rate."""


def _survey(index: Index, setting: Setting) -> Survey | None:
    """Return the survey of the rows whose model is meant, None of few, or with more constraints than it takes."""
    if _are_many(setting):
        return None
    kinds = index.layout.of_models(setting.meant)
    starts = index.layout.starts
    count = int((starts[kinds + 1] - starts[kinds]).sum())
    return Survey(index, setting, kinds) if count > FEW else None


def _are_many(setting: Setting) -> bool:
    """Return whether a question has more constraints than patterns hold, beside the few that every question has."""
    return len(setting.scenario.constraints) > MOST - _ALWAYS


def shown(index: Index, setting: Setting) -> tuple[Assessment, Survey | None]:
    """Return the assessment of every row whose model is meant that an answer can show, with a census of all of them.

    The survey that they were chosen by comes with it; there is none of few rows.
    """
    survey = _survey(index, setting)
    return (assess_selected(index, setting) if survey is None else Shortlist(survey).assess()), survey


def best_selected(index: Index, setting: Setting) -> int | None:
    """Return the row that is chosen of those whose model is meant, None where none is accepted."""
    survey = _survey(index, setting)
    if survey is not None and not len(survey.accepted):
        return None
    if survey is not None:
        shortlist = Shortlist(survey, best_alone=True)
        if len(shortlist.rows) == 1:
            return int(shortlist.rows[0])
        assessment = shortlist.assess()
    else:
        assessment = assess_selected(index, setting)
    order = rank(assessment, at_least=1)
    return int(assessment.rows[order[0]]) if len(order) else None


def judged(index: Index, setting: Setting, survey: Survey | None) -> Survey | Assessment:
    """Return which row of the index fails what, of whatever model it is; `survey` is that of the models meant."""
    if survey is not None and len(survey) == len(index):
        return survey
    if len(index) <= FEW or _are_many(setting):
        return assess_rows(index, setting, np.arange(len(index), dtype=np.int64))
    return Survey(index, setting, np.arange(index.layout.kinds, dtype=np.int64))
