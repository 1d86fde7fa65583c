from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.artifacts.headers.safetensors import DTYPE_BITS, read_safetensors
from planner.errors import InvalidFile
from tests.artifacts.writers import Tensors, safetensors_bytes

TENSORS: Tensors = {"a": ("F32", (2, 3)), "b": ("I8", (5,)), "empty": ("F16", (0, 4)), "scalar": ("BF16", ())}


def raw(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def read(path: Path, content: bytes):
    path.write_bytes(content)
    return read_safetensors(path, "model.safetensors")


def test_tensors_in_the_order_of_their_bytes(tmp_path: Path):
    content = safetensors_bytes(TENSORS, {"format": "pt"})
    header = read(tmp_path / "x", content)
    assert header.metadata == {"format": "pt"}
    found = {
        tensor.name: (tensor.dtype, tensor.shape, tensor.elements, tensor.nbytes) for tensor in header.tensors
    }
    assert found == {
        "a": ("F32", (2, 3), 6, 24),
        "b": ("I8", (5,), 5, 5),
        "empty": ("F16", (0, 4), 0, 0),
        "scalar": ("BF16", (), 1, 2),
    }
    assert header.tensors[-1].offset + header.tensors[-1].nbytes == len(content)


def test_no_tensors_at_all(tmp_path: Path):
    assert read(tmp_path / "x", raw(b"{}")).tensors == ()


def test_types_smaller_than_a_byte(tmp_path: Path):
    header = read(tmp_path / "x", raw(json.dumps({"a": entry("F4", [2, 3], [0, 3])}).encode(), bytes(3)))
    assert header.tensors[0].elements == 6
    with pytest.raises(InvalidFile, match=r"takes 1\.5 bytes"):
        read(tmp_path / "x", raw(json.dumps({"a": entry("F4", [3], [0, 2])}).encode(), bytes(2)))


@pytest.mark.parametrize(
    ("document", "data", "message"),
    [
        ({"a": entry()}, 7, "is truncated"),
        ({"a": entry()}, 9, "1 bytes after the last tensor"),
        ({"a": entry(), "b": entry(offsets=(4, 12))}, 12, "'b': data_offsets overlaps"),
        ({"a": entry(), "b": entry()}, 8, "'b': data_offsets overlaps"),
        ({"a": entry(), "b": entry(offsets=(12, 20))}, 20, "'b': data_offsets leaves a gap"),
        ({"a": entry(offsets=(4, 12))}, 12, "leaves a gap"),
        ({"a": entry(offsets=(0, 2**62))}, 8, "data_offsets .* not possible"),
        ({"a": entry(shape=(2**40, 2**40))}, 8, "takes .* bytes, not 8"),
        ({"a": entry(shape=(3,))}, 8, "takes 12 bytes, not 8"),
        ({"a": entry(shape=(-2,))}, 8, "shape .* not possible"),
        ({"a": entry(shape=(True, 2))}, 8, "shape .* not possible"),
        ({"a": entry(shape=(2.0,))}, 8, "shape .* not possible"),
        ({"a": entry(shape=[1] * 17)}, 8, "shape .* not possible"),
        ({"a": entry(shape="2")}, 8, "shape .* not possible"),
        ({"a": entry(offsets=(8, 0))}, 8, "data_offsets"),
        ({"a": entry(offsets=(0,))}, 8, "data_offsets"),
        ({"a": entry(dtype="F99")}, 8, "dtype 'F99' is unknown; allowed: BOOL"),
        ({"a": entry(dtype=["F32"])}, 8, "dtype"),
        ({"a": {**entry(), "more": 1}}, 8, "is not described"),
        ({"a": [1]}, 8, "is not described"),
        ({"__metadata__": {"a": 1}}, 0, "__metadata__: is not a map of text to text"),
        ({"__metadata__": "x"}, 0, "__metadata__"),
    ],
)
def test_lies_are_named(tmp_path: Path, document: dict[str, Any], data: int, message: str):
    with pytest.raises(InvalidFile, match=message) as caught:
        read(tmp_path / "x", raw(json.dumps(document).encode(), bytes(data)))
    assert caught.value.details["path"] == "model.safetensors"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "header length: is missing"),
        (b"\0" * 7, "header length: is missing"),
        (struct.pack("<Q", 2**63) + b"{}", "header length: 9223372036854775808 is not possible"),
        (struct.pack("<Q", 3) + b"{}", "header length: 3 is not possible"),
        (struct.pack("<Q", 0) + b"{}", "header length: 0 is not possible"),
        (raw(b" {}"), "does not begin with"),
        (raw(b'{"a": 1, "a": 1}'), "header: the key 'a' appears twice"),
        (raw(b'{"\xff": 1}'), "header: is not UTF-8 at byte 2"),
        (raw(b'{"a": NaN}'), "header: NaN is not JSON"),
        (raw(b'{"a": 1e999}'), "out of range"),
        (raw(b'{"a": '), "header: is not JSON"),
        (raw(b'{"a":' + b"[" * 100_000), "nested too deeply"),
        (raw(b'{"a":' + b"[]," * 3_000_000 + b"1"), "too many values"),
    ],
)
def test_headers_that_are_none(tmp_path: Path, content: bytes, message: str):
    with pytest.raises(InvalidFile, match=message):
        read(tmp_path / "x", content)


def test_a_header_cannot_make_gigabytes_of_objects(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(raw(b'{"a":[' + b"{}," * 1_900_000 + b"0" + b",7" * 6_000_000 + b"]}"))
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from planner.artifacts.headers.safetensors import read_safetensors\n"
        "from planner.errors import InvalidFile\n"
        "try: read_safetensors(Path(sys.argv[1]), 'x')\n"
        "except InvalidFile: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) * 1024 < 1_000_000_000


def test_things_that_are_not_files(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), tmp_path / "absent"):
        with pytest.raises(InvalidFile):
            read_safetensors(path, "model.safetensors")


SETTINGS = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
VALID = safetensors_bytes(TENSORS, {"format": "pt"})


@SETTINGS
@given(position=st.integers(0, len(VALID) - 1), value=st.integers(0, 255), cut=st.integers(0, len(VALID)))
def test_any_changed_or_missing_byte_is_read_or_refused(tmp_path: Path, position: int, value: int, cut: int):
    changed = bytearray(VALID)
    changed[position] = value
    for content in (bytes(changed), VALID[:cut], bytes(changed)[:cut]):
        try:
            header = read(tmp_path / "x", content)
        except InvalidFile:
            continue
        assert sum(t.nbytes for t in header.tensors) <= len(content)


NAMES = st.text(st.characters(codec="utf-8"), max_size=12).filter(lambda name: name != "__metadata__")
SHAPES = st.lists(st.integers(0, 5), max_size=4).map(tuple)
WHOLE = st.sampled_from(sorted(name for name, bits in DTYPE_BITS.items() if bits >= 8))


@SETTINGS
@given(tensors=st.dictionaries(NAMES, st.tuples(WHOLE, SHAPES), max_size=8))
def test_what_is_written_is_read(tmp_path: Path, tensors: Tensors):
    header = read(tmp_path / "x", safetensors_bytes(tensors))
    assert {t.name: (t.dtype, t.shape) for t in header.tensors} == tensors
