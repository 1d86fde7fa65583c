"""Acceptable: whether a question accepts any of some rows, without choosing one of them."""

from __future__ import annotations

import numpy as np

from planner.choose.asked_split import ways
from planner.choose.feasible import assess_rows, assess_split, under_engine
from planner.choose.index import Index
from planner.choose.setting import Setting
from planner.estimate.columns import Integers
from planner.estimate.placement import Split


def accepts_any(index: Index, setting: Setting, rows: Integers) -> bool:
    """Return whether any of `rows`, which fail nothing for their state, size or loss, is accepted in any placement.

    Of rows of one kind (`planner.choose.layout`) of which nothing was recorded, the lightest decides, and all its
    placements are judged at once.
    """
    seen = index.recorded_rows(setting.device) if setting.device else rows[:0]
    recorded = np.isin(rows, seen) if len(seen) else np.zeros(len(rows), dtype=np.bool_)
    plain = index.layout.lightest(rows[~recorded], index.columns.weight_bytes)
    if recorded.any() and bool(assess_rows(index, setting, rows[recorded]).accepted.any()):
        return True
    if not len(plain):
        return False
    if setting.devices == 1 or not setting.splittable:
        return bool(assess_rows(index, setting, plain, recorded=False).accepted.any())
    columns = under_engine(setting, index.columns.take(plain))
    open_ways = [(np.flatnonzero(valid), split) for split, valid in ways(setting, columns)]
    at = np.concatenate([valid for valid, _ in open_ways])
    split = Split(
        *(
            np.concatenate([getattr(way, part)[valid] for valid, way in open_ways])
            for part in ("tensor", "pipeline")
        )
    )
    judged = assess_split(index, setting, plain[at], columns.take(at), split, recorded=False)
    return bool(judged.accepted.any())
