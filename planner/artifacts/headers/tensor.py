"""One stored tensor, as a header describes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

MAX_ELEMENTS: Final = 2**56
"""Upper bound of elements in one tensor: far above any model, far below overflow of byte counts."""


class StoredTensor(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor on disk: `dtype` as the file spells it, `offset` from the start of the file, sizes in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    elements: int
    nbytes: int
    file: str
    offset: int


TensorReader = Callable[[StoredTensor, int], bytes]
"""Returns a tensor's bytes when it has at most so many; raises InvalidFile otherwise."""
