"""The header of a GGUF file: magic, version, key-value pairs, tensor infos, then aligned tensors.

Layout after the format's specification (ggml-org/ggml, docs/gguf.md) and llama.cpp's loader, which requires offsets in
order without gaps beyond the alignment. The `gguf` package supplies type numbers and block sizes; the walk itself is
our own, because every count and length has to be checked against the file before anything of that size is made.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType

from planner.artifacts.durable import open_regular
from planner.artifacts.headers.tensor import MAX_ELEMENTS, StoredTensor
from planner.errors import InvalidFile

MAX_HEADER_BYTES: Final = 100_000_000
"""Bytes up to the tensor data; the largest vocabularies take about 20 MB."""

_MAX_PAIRS: Final = 65_536
_MAX_ITEMS: Final = 4_000_000
_MAX_KEPT_ITEMS: Final = 4096
_MAX_KEPT_TEXT: Final = 1 << 20
_MAX_NAME: Final = 1024
_SCALARS: Final[Mapping[int, str]] = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING: Final = 8
_ARRAY: Final = 9
_BLOCKS: Final[Mapping[int, tuple[str, int, int]]] = {
    int(kind): (kind.name, *GGML_QUANT_SIZES[kind]) for kind in GGMLQuantizationType
}
"""Name, elements and bytes of one block, by type number."""

FILE_TYPES: Final[Mapping[int, str]] = {
    int(kind): kind.name.removeprefix("MOSTLY_").removeprefix("ALL_").removesuffix("_MOE").lower()
    for kind in LlamaFileType
    if kind.name != "GUESSED"
}
"""Names of `general.file_type`, such as "q4_k_m"."""

Value = str | int | float | bool | tuple[int | float | bool, ...]


class GgufHeader(msgspec.Struct, frozen=True, kw_only=True):
    """Scalars, texts and short number lists by key; the length of every list; the tensors in order of their bytes."""

    metadata: Mapping[str, Value]
    lengths: Mapping[str, int]
    tensors: tuple[StoredTensor, ...]


class _Cursor:
    """Reads forward through the header and refuses to pass its end."""

    def __init__(self, file: BinaryIO, limit: int, label: str) -> None:
        self._file = file
        self._limit = limit
        self._label = label
        self.position = 0

    def require(self, count: int, field: str) -> None:
        if count > self._limit - self.position:
            raise InvalidFile(
                self._label,
                field,
                f"needs {count} bytes at {self.position}, the header can have {self._limit - self.position} more",
                allowed="lengths inside the file",
            )

    def take(self, count: int, field: str) -> bytes:
        self.require(count, field)
        data = self._file.read(count)
        if len(data) != count:
            raise InvalidFile(self._label, field, f"is truncated at byte {self.position + len(data)}")
        self.position += count
        return data

    def skip(self, count: int, field: str) -> None:
        self.require(count, field)
        self._file.seek(count, os.SEEK_CUR)
        self.position += count

    def scalar(self, code: str, field: str) -> Any:
        return struct.unpack(code, self.take(struct.calcsize(code), field))[0]

    def count(self, field: str, *, limit: int) -> int:
        value: int = self.scalar("<Q", field)
        if value > limit:
            raise InvalidFile(self._label, field, f"{value} is out of range", allowed=f"0 to {limit}")
        return value

    def text(self, field: str, *, limit: int) -> str:
        data = self.take(self.count(field, limit=limit), field)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidFile(self._label, field, "is not UTF-8", allowed="UTF-8 text") from error


def read_gguf(path: Path, label: str) -> GgufHeader:
    """Return the header of the file at `path`, called `label` in errors. Raises InvalidFile."""
    with (
        open_regular(path, label) as raw,
        os.fdopen(raw.fileno(), "rb", buffering=1 << 20, closefd=False) as file,
    ):
        size = os.fstat(raw.fileno()).st_size
        cursor = _Cursor(file, min(size, MAX_HEADER_BYTES), label)
        if cursor.take(4, "magic") != b"GGUF":
            raise InvalidFile(label, "magic", "is not GGUF", allowed="a GGUF file")
        version = cursor.scalar("<I", "version")
        if version not in {2, 3}:
            order = " (big-endian)" if version & 0xFFFF == 0 else ""
            raise InvalidFile(
                label, "version", f"{version}{order} is not supported", allowed="2 or 3, little-endian"
            )
        tensor_count = cursor.count("tensor count", limit=cursor_limit(cursor, size, 24))
        pair_count = cursor.count("key count", limit=_MAX_PAIRS)
        metadata, lengths = _pairs(cursor, pair_count, label)
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 8 <= alignment <= 1 << 16 or alignment & (alignment - 1):
            raise InvalidFile(
                label, "general.alignment", f"{alignment!r} is not possible", allowed="8 to 65536, 2^n"
            )
        infos = [_info(cursor, index, label) for index in range(tensor_count)]
    return GgufHeader(
        metadata=metadata, lengths=lengths, tensors=_place(infos, cursor.position, alignment, size, label)
    )


def cursor_limit(cursor: _Cursor, size: int, smallest: int) -> int:
    """Return how many records of at least `smallest` bytes the rest of the header can hold."""
    return (min(size, MAX_HEADER_BYTES) - cursor.position) // smallest


def _pairs(cursor: _Cursor, count: int, label: str) -> tuple[dict[str, Value], dict[str, int]]:
    metadata: dict[str, Value] = {}
    lengths: dict[str, int] = {}
    for index in range(count):
        key = cursor.text(f"key {index}", limit=_MAX_NAME)
        if key in metadata or key in lengths:
            raise InvalidFile(label, key, "appears twice", allowed="unique keys")
        kind = cursor.scalar("<I", key)
        if kind == _ARRAY:
            lengths[key], items = _items(cursor, key, label)
            if items is not None:
                metadata[key] = items
        elif kind == _STRING:
            text_length = cursor.count(key, limit=MAX_HEADER_BYTES)
            data = cursor.take(text_length, key)
            if text_length <= _MAX_KEPT_TEXT:
                try:
                    metadata[key] = data.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise InvalidFile(label, key, "is not UTF-8", allowed="UTF-8 text") from error
            else:
                lengths[key] = text_length
        elif kind in _SCALARS:
            metadata[key] = cursor.scalar(_SCALARS[kind], key)
        else:
            raise InvalidFile(label, key, f"value type {kind} is unknown", allowed="0 to 12")
    return metadata, lengths


def _items(cursor: _Cursor, key: str, label: str) -> tuple[int, tuple[int | float | bool, ...] | None]:
    kind = cursor.scalar("<I", key)
    count = cursor.count(key, limit=_MAX_ITEMS)
    if kind == _STRING:
        for _ in range(count):
            cursor.skip(cursor.count(key, limit=MAX_HEADER_BYTES), key)
        return count, None
    code = _SCALARS.get(kind)
    if code is None:
        raise InvalidFile(
            label, key, f"list items of type {kind} are not supported", allowed="numbers and texts"
        )
    width = struct.calcsize(code)
    if count > _MAX_KEPT_ITEMS:
        cursor.skip(count * width, key)
        return count, None
    return count, struct.unpack(f"<{count}{code[1]}", cursor.take(count * width, key))


def _info(cursor: _Cursor, index: int, label: str) -> StoredTensor:
    name = cursor.text(f"tensor {index}", limit=_MAX_NAME)
    field = f"tensor {name[:200]!r}"
    dimensions = cursor.scalar("<I", field)
    if not 1 <= dimensions <= 4:
        raise InvalidFile(label, field, f"{dimensions} dimensions", allowed="1 to 4")
    shape = struct.unpack(f"<{dimensions}Q", cursor.take(8 * dimensions, field))
    kind = cursor.scalar("<I", field)
    offset: int = cursor.scalar("<Q", field)
    if kind not in _BLOCKS:
        raise InvalidFile(label, field, f"type {kind} is unknown", allowed="a GGML type")
    type_name, block, block_bytes = _BLOCKS[kind]
    elements = math.prod(shape)
    if not 1 <= elements <= MAX_ELEMENTS:
        raise InvalidFile(
            label, field, f"shape {list(shape)} is not possible", allowed=f"1 to {MAX_ELEMENTS} elements"
        )
    if shape[0] % block:
        raise InvalidFile(
            label, field, f"rows of {shape[0]} do not divide", allowed=f"multiples of {block} for {type_name}"
        )
    return StoredTensor(
        name=name,
        dtype=type_name,
        shape=tuple(reversed(shape)),  # GGUF counts dimensions from the innermost
        elements=elements,
        nbytes=elements // block * block_bytes,
        file=label,
        offset=offset,
    )


def _place(
    infos: list[StoredTensor], header_end: int, alignment: int, size: int, label: str
) -> tuple[StoredTensor, ...]:
    start = -(-header_end // alignment) * alignment
    expected, end = 0, start
    placed: list[StoredTensor] = []
    seen: set[str] = set()
    for info in infos:
        field = f"tensor {info.name[:200]!r}"
        if info.name in seen:
            raise InvalidFile(label, field, "appears twice", allowed="unique names")
        seen.add(info.name)
        if info.offset != expected:
            raise InvalidFile(
                label, field, f"offset {info.offset} instead of {expected}", allowed="tensors in order"
            )
        end = start + info.offset + info.nbytes
        expected = -(-(info.offset + info.nbytes) // alignment) * alignment
        placed.append(msgspec.structs.replace(info, offset=start + info.offset))
    if infos and size < end:
        raise InvalidFile(label, "", f"is truncated: {size} bytes instead of {end}")
    if infos and size > start + expected:
        raise InvalidFile(
            label, "", f"has {size - end} bytes after the last tensor", allowed="no bytes after the end"
        )
    return tuple(placed)
