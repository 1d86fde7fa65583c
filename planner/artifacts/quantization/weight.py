"""Logical weights: what a loaded model calls one parameter, however many stored tensors it takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from planner.artifacts.headers.tensor import StoredTensor
from planner.domain.scheme import ActivationScaling, NumberFormat, Precision
from planner.errors import InvalidFile


class Layout(StrEnum):
    """How a writer lays a weight out in tensors."""

    PLAIN = "plain"
    TORCHAO = "torchao"
    GPTQ = "gptq"
    AWQ = "awq"
    BNB_4BIT = "bitsandbytes 4-bit"
    BNB_8BIT = "bitsandbytes 8-bit"
    PACKED_INT = "packed integers"
    PACKED_FP4 = "packed 4-bit floats"
    SCALED = "8-bit with scales"
    MXFP4_BLOCKS = "MXFP4 blocks"
    GGUF = "gguf"


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of the model: logical elements, bytes of all its tensors, and the precision it is stored in.

    `precision` None marks a buffer, which is held in memory but is no parameter. `container` is the stored type.
    """

    name: str
    parameters: int
    nbytes: int
    layout: Layout
    precision: Precision | None
    container: str
    dimensions: int
    activation: Precision | None = None
    activation_scaling: ActivationScaling | None = None
    shape: tuple[int, ...] | None = None

    @property
    def is_quantized(self) -> bool:
        """True when the weight is stored in less than 16 bits or with scales."""
        return self.precision is not None and self.precision.format not in PLAIN_FORMATS


PLAIN_FORMATS: Final = frozenset({NumberFormat.FP32, NumberFormat.BF16, NumberFormat.FP16})

INTEGERS: Final[Mapping[int, NumberFormat]] = {
    1: NumberFormat.INT1,
    2: NumberFormat.INT2,
    3: NumberFormat.INT3,
    4: NumberFormat.INT4,
    5: NumberFormat.INT5,
    6: NumberFormat.INT6,
    8: NumberFormat.INT8,
}

TensorMap = Mapping[str, StoredTensor]


def integer_format(bits: int, tensor: StoredTensor) -> NumberFormat:
    """Return the integer format of `bits` bits. Raises InvalidFile when there is none."""
    if bits not in INTEGERS:
        raise contradiction(tensor, f"packs {bits}-bit integers", allowed="1, 2, 3, 4, 5, 6 or 8 bits")
    return INTEGERS[bits]


def contradiction(tensor: StoredTensor, problem: str, *, allowed: str | None = None) -> InvalidFile:
    """Return the error for a tensor that does not fit its neighbours."""
    return InvalidFile(tensor.file, f"tensor {tensor.name[:200]!r}", problem, allowed=allowed)


def total_bytes(tensors: Iterable[StoredTensor]) -> int:
    """Return the stored bytes of `tensors`."""
    return sum(tensor.nbytes for tensor in tensors)


def present(tensors: TensorMap, names: Iterable[str]) -> list[StoredTensor]:
    """Return those of `names` that exist."""
    return [tensors[name] for name in names if name in tensors]


def group_size(columns: int, groups: int, declared: int | None) -> int | None:
    """Return how many of `columns` inputs share a scale when there are `groups` scales per output.

    The declared size wins where it explains the count, because a last group may be shorter. None is one per output.
    """
    if declared is not None and declared > 0 and math.ceil(columns / declared) == groups:
        return declared
    return None if groups <= 1 else math.ceil(columns / groups)
