"""Standing: which rows may be recommended at all by the state they are in, and which only for want of others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from planner.domain.lifecycle import LifecycleState, VariantState
from planner.domain.variant import Variant
from planner.estimate.columns import Booleans, Floats, Integers

STATE: Final = "state"
ASKED: Final = "may be recommended"


class Standing:
    """The states of an index's rows. `withheld` are never recommended; `deprecated` only when no other row satisfies.

    Either is None when there is no such row, which is the usual case and costs questions nothing.
    """

    def __init__(self, records: Sequence[Variant], states: Iterable[VariantState]) -> None:
        self._records = records
        set_states = (state for state in states if state.state is not LifecycleState.ACTIVE)
        self.by_variant: Final[Mapping[str, VariantState]] = {state.variant_id: state for state in set_states}
        replacements = {state.replacement_id for state in self.by_variant.values()}
        self._names = {record.id: record.name for record in records if record.id in replacements}
        self.withheld: Final = self._where(
            state.variant_id for state in self.by_variant.values() if not state.state.is_recommended
        )
        self.deprecated: Final = self._where(
            state.variant_id for state in self.by_variant.values() if state.state is LifecycleState.DEPRECATED
        )

    def _where(self, ids: Iterable[str]) -> Booleans | None:
        wanted = frozenset(ids)
        if not wanted:
            return None
        found: Booleans = np.array([record.id in wanted for record in self._records], dtype=np.bool_)
        return found if found.any() else None

    def order(self, rows: Integers) -> Floats | None:
        """Return what puts deprecated rows behind all others; None when there are none."""
        if self.deprecated is None:
            return None
        behind: Floats = self.deprecated[rows].astype(np.float64)
        return behind

    def words(self, row: int) -> str:
        """Return the state of a row in words, with the name of what replaces it."""
        state = self.by_variant.get(self._records[row].id)
        if state is None:
            return LifecycleState.ACTIVE.value
        return state.describe(self._names.get(state.replacement_id or ""))

    def stands_behind(self, row: int, other: int) -> str | None:
        """Return the state of a row in words when it is deprecated and `other` is not, else None."""
        if self.deprecated is None or not self.deprecated[row] or self.deprecated[other]:
            return None
        return self.words(row)

    def warnings(self, row: int) -> list[str]:
        """Return what to say when a row is recommended although it is deprecated."""
        if self.deprecated is None or not self.deprecated[row]:
            return []
        words = self.words(row)
        return [f"{words[0].upper()}{words[1:]}. No other variant satisfies the question."]
