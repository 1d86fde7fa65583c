"""The header of a safetensors file: an 8-byte little-endian length, that much JSON, then the tensors without gaps.

The rules are those of the format's reference reader (huggingface/safetensors, README "Format" and `validate`): the
header is at most 100 MB and begins with `{`, ranges start at zero, do not overlap, leave no holes and end with the
file, and each range is as long as its type and shape say.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from planner.artifacts.durable import open_regular
from planner.artifacts.headers.tensor import MAX_ELEMENTS, StoredTensor
from planner.artifacts.json_document import decode_json, is_list, is_object
from planner.errors import InvalidFile

MAX_HEADER_BYTES: Final = 100_000_000

DTYPE_BITS: Final[Mapping[str, int]] = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}  # fmt: skip
"""Bits per stored element of every type the format knows."""

_MAX_BRACES: Final = 2_000_000
_MAX_COMMAS: Final = 8_000_000
_MAX_DIMENSIONS: Final = 16


class SafetensorsHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The free-form metadata of a file and its tensors in the order of their bytes."""

    metadata: Mapping[str, str]
    tensors: tuple[StoredTensor, ...]


def read_safetensors(path: Path, label: str) -> SafetensorsHeader:
    """Return the header of the file at `path`, called `label` in errors. Raises InvalidFile."""
    with open_regular(path, label) as file:
        size = os.fstat(file.fileno()).st_size
        document, start = _document(file, size, label)
    metadata = _metadata(document.pop("__metadata__", {}), label)
    tensors = sorted(
        (_tensor(name, entry, start, label) for name, entry in document.items()),
        key=lambda tensor: (tensor.offset, tensor.offset + tensor.nbytes),
    )
    position = start
    for tensor in tensors:
        if tensor.offset != position:
            kind = "overlaps the tensor before it" if tensor.offset < position else "leaves a gap before it"
            raise _invalid(label, tensor.name, f"data_offsets {kind}", allowed="tensors side by side")
        position += tensor.nbytes
    if position != size:
        problem = (
            f"is truncated: {size} bytes instead of {position}"
            if position > size
            else f"has {size - position} bytes after the last tensor"
        )
        raise InvalidFile(label, "", problem, allowed="a file that ends with its last tensor")
    return SafetensorsHeader(metadata=metadata, tensors=tuple(tensors))


def _invalid(label: str, name: str, problem: str, *, allowed: str | None = None) -> InvalidFile:
    return InvalidFile(label, f"tensor {name[:200]!r}", problem, allowed=allowed)


def _document(file: BinaryIO, size: int, label: str) -> tuple[dict[str, Any], int]:
    if size < 8:
        raise InvalidFile(
            label, "header length", f"is missing: the file has {size} bytes", allowed="at least 8 bytes"
        )
    length = int.from_bytes(file.read(8), "little")
    limit = min(MAX_HEADER_BYTES, size - 8)
    if not 2 <= length <= limit:
        raise InvalidFile(
            label, "header length", f"{length} is not possible", allowed=f"2 to {limit} for this file"
        )
    data = file.read(length)
    if len(data) != length:
        raise InvalidFile(label, "header", "is truncated")
    if data[:1] != b"{":
        raise InvalidFile(label, "header", "does not begin with `{`", allowed="a JSON object")
    # Counted before parsing, so that a small file of brackets cannot become gigabytes of objects.
    if data.count(b"{") > _MAX_BRACES or data.count(b"[") > _MAX_BRACES or data.count(b",") > _MAX_COMMAS:
        raise InvalidFile(
            label, "header", "holds too many values", allowed=f"{_MAX_BRACES} tensors and metadata"
        )
    document = decode_json(data, path=label, field="header")
    assert is_object(document)  # it begins with a brace
    return document, 8 + length


def _metadata(value: Any, label: str) -> dict[str, str]:
    if not is_object(value) or not all(isinstance(item, str) for item in value.values()):
        raise InvalidFile(label, "__metadata__", "is not a map of text to text", allowed="text values")
    return value


def _size(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_ELEMENTS


def _tensor(name: str, entry: Any, start: int, label: str) -> StoredTensor:
    if not is_object(entry) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _invalid(label, name, "is not described", allowed="dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    bits = DTYPE_BITS.get(dtype) if isinstance(dtype, str) else None
    if bits is None:
        raise _invalid(label, name, f"dtype {str(dtype)[:40]!r} is unknown", allowed=", ".join(DTYPE_BITS))
    if not is_list(shape) or len(shape) > _MAX_DIMENSIONS or not all(map(_size, shape)):
        raise _invalid(
            label,
            name,
            f"shape {str(shape)[:80]} is not possible",
            allowed=f"at most {_MAX_DIMENSIONS} sizes",
        )
    if not is_list(offsets) or len(offsets) != 2 or not all(map(_size, offsets)) or offsets[0] > offsets[1]:
        raise _invalid(
            label, name, f"data_offsets {str(offsets)[:80]} are not possible", allowed="[begin, end]"
        )
    elements = math.prod(shape)
    nbytes = offsets[1] - offsets[0]
    if elements > MAX_ELEMENTS or elements * bits != nbytes * 8:
        raise _invalid(
            label,
            name,
            f"{dtype} of shape {str(shape)[:80]} takes {elements * bits / 8:.12g} bytes, not {nbytes}",
            allowed="a byte range that fits type and shape",
        )
    return StoredTensor(
        name=name,
        dtype=dtype,
        shape=tuple(shape),
        elements=elements,
        nbytes=nbytes,
        file=label,
        offset=start + offsets[0],
    )
