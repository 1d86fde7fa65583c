from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.artifacts.xet.hashes import chunk_hash, from_text, to_text, xorb_hash
from planner.errors import InvalidInput


@given(st.binary(min_size=32, max_size=32))
def test_text_gives_the_hash_again(digest: bytes) -> None:
    assert from_text(to_text(digest)) == digest


def test_text_reverses_groups_of_eight() -> None:
    assert to_text(bytes(range(32))).startswith("0706050403020100" + "0f0e0d0c0b0a0908")


@pytest.mark.parametrize("text", ["", "a", "A" * 64, "g" * 64, "a" * 63, "../" + "a" * 61])
def test_what_is_no_hash_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="64 lower-case hex"):
        from_text(text)


def test_one_chunk_is_its_own_root_and_none_is_zero() -> None:
    digest = chunk_hash(b"x")
    assert xorb_hash([(digest, 1)]) == digest
    assert xorb_hash([]) == bytes(32)


def test_the_client_library_has_the_same_hashes(tmp_path) -> None:
    """A file of one chunk: its hash is the chunk's under a key of zeros, so a false chunk hash would show."""
    hf_xet = pytest.importorskip("hf_xet")
    from blake3 import blake3

    path = tmp_path / "small"
    path.write_bytes(random.Random(1).randbytes(5_000))
    (info,) = hf_xet.hash_files([str(path)])
    assert to_text(blake3(chunk_hash(path.read_bytes()), key=bytes(32)).digest()) == info.hash


def test_order_and_sizes_of_chunks_count() -> None:
    chunks = [(chunk_hash(bytes([n])), n + 1) for n in range(40)]
    root = xorb_hash(chunks)
    assert root != xorb_hash(chunks[::-1])
    assert root != xorb_hash([(digest, size + 1) for digest, size in chunks])
    assert root != xorb_hash(chunks[:-1])
