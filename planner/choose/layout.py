"""Layout: the rows of an index in an order in which those that differ in their weight bytes alone stand together.

Everything the estimators read follows from a variant's kind (model, scheme, runtime, file format, known runtimes, and how
sure its weight bytes are) and from its weight bytes. Within a kind, memory and times never fall as the weights grow. With
each kind sorted by weight bytes, whatever bounds memory or time therefore admits a first part of every kind, which is
found by asking about a few of its rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.estimate.columns import Booleans, Columns, Floats, Integers

if TYPE_CHECKING:
    from planner.choose.index import Index

_DIGITS = 9
"""Digits to which the ends of the weights' intervals, relative to their middle, tell kinds apart."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows sorted by kind, then weight bytes, then row. Kinds of one model stand next to each other."""

    row: Integers
    """Row of the index at each place."""
    starts: Integers
    """Place at which each kind begins, and the end."""
    model: Integers
    """Position in the index's `model_list` of each kind's model."""

    place: Integers
    """Place of each row of the index."""
    kind: Integers
    """Kind of each row of the index."""

    def __len__(self) -> int:
        return len(self.row)

    @property
    def kinds(self) -> int:
        """How many kinds there are."""
        return len(self.model)

    def lightest(self, rows: Integers, weight_bytes: Floats) -> Integers:
        """Return the lightest of each kind among some rows, given the weight bytes of all rows of the index."""
        order = rows[np.lexsort((rows, weight_bytes[rows], self.kind[rows]))]
        kind = self.kind[order]
        return order[np.concatenate(([True], kind[1:] != kind[:-1]))] if len(order) else order

    def of_models(self, meant: Booleans) -> Integers:
        """Return the kinds of the models that are meant, by position in the index's `model_list`."""
        return np.flatnonzero(meant[self.model])


def _ratio(end: Floats, middle: Floats) -> Floats:
    return np.round(end / np.maximum(middle, 1.0), _DIGITS)


def layout_of(
    columns: Columns, *, model: Integers, scheme: Integers, file_format: Integers, loaders: Integers
) -> Layout:
    """Return the layout of rows with these facts; the codes are those of the index."""
    count = len(model)
    rows = np.arange(count, dtype=np.int64)
    facts = (
        model,
        scheme,
        file_format,
        loaders,
        columns.runtime,
        _ratio(columns.weight_lo, columns.weight_bytes),
        _ratio(columns.weight_hi, columns.weight_bytes),
    )
    row = np.lexsort((rows, columns.weight_bytes, *reversed(facts)))
    begins = np.zeros(count, dtype=np.bool_)
    begins[:1] = True
    for fact in facts:
        ordered = fact[row]
        begins[1:] |= ordered[1:] != ordered[:-1]
    first = np.flatnonzero(begins)
    kind = np.empty(count, dtype=np.int64)
    kind[row] = begins.cumsum() - 1
    place = np.empty(count, dtype=np.int64)
    place[row] = rows
    return Layout(
        row=row,
        place=place,
        starts=np.append(first, count),
        model=model[row[first]],
        kind=kind,
    )


def layout_of_index(index: Index, loaders: Integers) -> Layout:
    """Return the layout of all rows of an index; `loaders` are the codes of the runtimes known to load each row."""
    return layout_of(
        index.columns,
        model=index.model,
        scheme=index.scheme,
        file_format=index.file_format,
        loaders=loaders,
    )
