from __future__ import annotations

import hashlib
import os
import random
import resource
import struct
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.artifacts.local import LocalStore
from planner.artifacts.xet.assembly import assemble
from planner.artifacts.xet.chunks import UNUSED_SECONDS, Chunks
from planner.artifacts.xet.shard import read_files
from planner.errors import IntegrityFailure, InvalidInput, OutOfSpace
from tests.artifacts.xet.written import END, GROUPED, TAG, file, shard, term, xorb

LIMIT = 10**9
CHUNKS = [random.Random(n).randbytes(1_000 + n) for n in range(30)]
WHOLE = b"".join(CHUNKS)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "blobs")


@pytest.fixture
def chunks(store: LocalStore, tmp_path: Path) -> Chunks:
    return Chunks(tmp_path / "blobs" / "xorbs", store)


def content(store: LocalStore, data: bytes) -> bytes:
    return b"".join(store.open(hashlib.sha256(data).hexdigest()))


def files_under(root: Path) -> list[str]:
    return sorted(path.suffix for path in root.rglob("*") if path.is_file() and path.name != "lock")


def test_files_are_put_together_and_the_xorb_goes(store, chunks, tmp_path) -> None:
    name, sent = xorb(*CHUNKS, scheme=GROUPED)
    assert chunks.add(name, [sent]) is True
    assert chunks.add(name, [b"not read"]) is False
    part = b"".join(CHUNKS[3:9]) + b"".join(CHUNKS[:2])
    made = assemble(
        shard(
            file(WHOLE, term(name, CHUNKS, 0, 12), term(name, CHUNKS, 12, 30)),
            file(part, term(name, CHUNKS, 3, 9), term(name, CHUNKS, 0, 2)),
            file(b""),
        ),
        chunks,
        store,
        limit=LIMIT,
    )
    assert [each.size for each in made] == [len(WHOLE), len(part), 0]
    assert content(store, WHOLE) == WHOLE
    assert content(store, part) == part
    assert files_under(tmp_path / "blobs" / "xorbs") == [".index"]


def test_chunks_that_lie_in_files_are_used_again(store, chunks) -> None:
    name, sent = xorb(*CHUNKS)
    chunks.add(name, [sent])
    assemble(shard(file(WHOLE, term(name, CHUNKS, 0, 30))), chunks, store, limit=LIMIT)
    new = [b"new" * 400]
    other, more = xorb(*new)
    chunks.add(other, [more])
    changed = b"".join(CHUNKS[:5]) + new[0] + b"".join(CHUNKS[5:])
    terms = term(name, CHUNKS, 0, 5), term(other, new, 0, 1), term(name, CHUNKS, 5, 30)
    assemble(shard(file(changed, *terms)), chunks, store, limit=LIMIT)
    assert content(store, changed) == changed
    assert chunks.add(name, [b"not read"]) is False


def test_chunks_whose_file_was_collected_are_taken_again(store, chunks) -> None:
    name, sent = xorb(*CHUNKS)
    chunks.add(name, [sent])
    asked = shard(file(WHOLE, term(name, CHUNKS, 0, 30)))
    assemble(asked, chunks, store, limit=LIMIT)
    store.remove(hashlib.sha256(WHOLE).hexdigest(), unused_since=time.time() + 1)
    with pytest.raises(InvalidInput, match=r"no longer here.*removing the client's xet cache"):
        assemble(asked, chunks, store, limit=LIMIT)
    assert chunks.add(name, [sent]) is True
    assemble(asked, chunks, store, limit=LIMIT)
    assert content(store, WHOLE) == WHOLE


def test_a_xorb_of_another_hash_leaves_nothing(chunks, tmp_path) -> None:
    name, _ = xorb(*CHUNKS)
    _, other = xorb(*CHUNKS[:-1])
    with pytest.raises(IntegrityFailure, match=f"instead of {name}"):
        chunks.add(name, [other])
    with pytest.raises(InvalidInput, match="has no chunks"):
        chunks.add(name, [])
    assert files_under(tmp_path / "blobs" / "xorbs") == []


def test_other_bytes_than_the_sha256_says_are_refused(store, chunks) -> None:
    name, sent = xorb(*CHUNKS)
    chunks.add(name, [sent])
    wrong = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(IntegrityFailure, match=wrong):
        assemble(shard(file(WHOLE, term(name, CHUNKS, 0, 30), digest=wrong)), chunks, store, limit=LIMIT)
    assert list(store.digests()) == []


def test_a_xorb_that_rotted_is_noticed(store, chunks, tmp_path) -> None:
    name, sent = xorb(*CHUNKS)
    chunks.add(name, [sent])
    place = tmp_path / "blobs" / "xorbs" / name[:2] / name
    place.write_bytes(sent[:-1] + bytes([sent[-1] ^ 1]))
    with pytest.raises(IntegrityFailure, match="not what it was"):
        assemble(shard(file(WHOLE, term(name, CHUNKS, 0, 30))), chunks, store, limit=LIMIT)


def forged(name: str, *, size: int = 0, start: int = 0, end: int = 30, proof: bytes | None = None) -> bytes:
    entry, own = term(name, CHUNKS, 0, 30)
    real = struct.unpack("<32sIIII", entry)
    return file(WHOLE, (struct.pack("<32sIIII", real[0], 0, real[2] + size, start, end), proof or own))


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"size": 1}, "another size"),
        ({"end": 31}, "names chunk 30"),
        ({"start": 7, "end": 7}, "empty range"),
        ({"proof": bytes(48)}, "does not prove"),
    ],
)
def test_false_terms_are_refused(store, chunks, part, says) -> None:
    name, sent = xorb(*CHUNKS)
    chunks.add(name, [sent])
    with pytest.raises(InvalidInput, match=says):
        assemble(shard(forged(name, **part)), chunks, store, limit=LIMIT)


def test_a_xorb_that_never_came_and_a_file_too_large_are_refused(store, chunks) -> None:
    name, sent = xorb(*CHUNKS)
    asked = shard(file(WHOLE, term(name, CHUNKS, 0, 30)))
    with pytest.raises(InvalidInput, match="which is not here"):
        assemble(asked, chunks, store, limit=LIMIT)
    chunks.add(name, [sent])
    with pytest.raises(InvalidInput, match=f"at most {len(WHOLE) - 1}"):
        assemble(asked, chunks, store, limit=len(WHOLE) - 1)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "too short"),
        (bytes(48), "does not begin"),
        (TAG + struct.pack("<QQ", 3, 0), "version 3"),
        (TAG + struct.pack("<QQ", 2, 0), "ends inside"),
        (TAG + struct.pack("<QQ", 2, 0) + struct.pack("<32sIIQ", bytes(32), 1 << 31, 0, 0) + END, "no sha256"),
        (TAG + struct.pack("<QQ", 2, 0) + struct.pack("<32sIIQ", bytes(32), 1 << 30, 0, 0) + END, "proves nothing"),
        (TAG + struct.pack("<QQ", 2, 0) + struct.pack("<32sIIQ", bytes(32), 3 << 30, 2**32 - 1, 0) + END, "ends inside"),
    ],
)  # fmt: skip
def test_false_shards_are_refused(data: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        read_files(data)


@given(st.binary(max_size=600))
def test_noise_is_read_or_refused(data: bytes) -> None:
    with suppress(InvalidInput):
        read_files(TAG + struct.pack("<QQ", 2, 0) + data)


def test_xorbs_that_nobody_goes_on_with_are_swept(store, chunks, tmp_path) -> None:
    name, sent = xorb(*CHUNKS)
    chunks.add(name, [sent])
    root = tmp_path / "blobs" / "xorbs"
    assert Chunks(root, store).add(name, []) is False
    old = time.time() - UNUSED_SECONDS - 10
    os.utime(root / name[:2] / name, (old, old))
    assert Chunks(root, store).add(name, [sent]) is True


def test_a_full_disk_is_said_and_nothing_stays(chunks, tmp_path) -> None:
    """What is buffered cannot be written when the file is closed either, which must not hide why."""
    name, sent = xorb(*(random.Random(n).randbytes(60_000) for n in range(10)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OutOfSpace, match="disk full while"):
            chunks.add(name, [sent])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert files_under(tmp_path) == []
    assert chunks.add(name, [sent]) is True
