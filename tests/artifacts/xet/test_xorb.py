from __future__ import annotations

from contextlib import suppress

import lz4.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.artifacts.xet.hashes import chunk_hash
from planner.artifacts.xet.xorb import MAX_CHUNK, read_records, unpack_record
from planner.errors import InvalidInput
from tests.artifacts.xet.written import GROUPED, LZ4, STORED, record


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@given(
    chunks=st.lists(
        st.tuples(st.binary(min_size=1, max_size=300), st.sampled_from([STORED, LZ4, GROUPED])), max_size=6
    ),
    size=st.integers(1, 400),
    footer=st.sampled_from([b"", b"XETB", b"XETBLOB and more" * 9]),
)
@settings(deadline=None)
def test_chunks_come_out_as_they_were_however_the_bytes_arrive(chunks, size, footer) -> None:
    sent = b"".join(record(data, scheme) for data, scheme in chunks)
    found = list(read_records(cut(sent + footer, size)))
    assert [unpack_record(each.sent) for each in found] == [data for data, _ in chunks]
    assert [each.digest for each in found] == [chunk_hash(data) for data, _ in chunks]
    assert b"".join(each.sent for each in found) == sent
    assert [each.start for each in found] == [
        sum(len(record(*chunk)) for chunk in chunks[:n]) for n in range(len(chunks))
    ]


ZEROS = lz4.frame.compress(bytes(200_000))
BOMB = lz4.frame.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (record(b"abc")[:5], "inside a chunk's header"),
        (record(b"abc")[:-1], "inside a chunk"),
        (record(b"abc", version=1), "version 1"),
        (record(b"abc", size=4), "3 bytes whose header says 4"),
        (record(b"abc", LZ4, size=2), "3 bytes whose header says 2"),
        (b"\0\x03\0\0\x07\x03\0\0abc", "scheme 7"),
        (b"\0\x03\0\0\x01\x03\0\0abc", "0 bytes whose header says 3"),
        (b"\0\x10\0\0\x01\x10\0\0" + bytes(16), "LZ4 does not unpack"),
        (b"\0\0\0\0\0\0\0\0", "a chunk of 0 bytes"),
        (b"\0\xff\xff\xff\0\xff\xff\xff", "a chunk of 16777215 bytes"),
        (b"\0\xff\xff\x01\0\x10\0\0", "packed into 131071"),
        (b"\0" + len(BOMB).to_bytes(3, "little") + b"\x01" + MAX_CHUNK.to_bytes(3, "little") + BOMB, "packed into"),
        (b"\0" + len(ZEROS).to_bytes(3, "little") + b"\x01\x10\0\0" + ZEROS, "17 bytes whose header says 16"),
    ],
)  # fmt: skip
def test_false_chunks_are_refused(sent: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        list(read_records([sent]))


@given(st.binary(max_size=400))
def test_noise_is_read_or_refused(data: bytes) -> None:
    with suppress(InvalidInput):
        list(read_records([data]))
