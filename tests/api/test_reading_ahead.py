from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.api.reading_ahead import read_ahead


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=20))
def test_everything_arrives_in_order(chunks: list[bytes]) -> None:
    async def read() -> list[bytes]:
        return [chunk async for chunk in read_ahead(iter(chunks))]

    assert asyncio.run(read()) == chunks


def test_one_chunk_is_read_ahead_and_no_more() -> None:
    given_out: list[int] = []
    second = threading.Event()

    def chunks() -> Iterator[bytes]:
        for number in range(5):
            given_out.append(number)
            if number == 1:
                second.set()
            yield bytes([number + 1])

    async def read() -> None:
        reading = read_ahead(chunks())
        assert await anext(reading) == b"\x01"
        await asyncio.to_thread(second.wait, 10)
        await asyncio.sleep(0.05)
        assert given_out == [0, 1]
        assert [chunk async for chunk in reading] == [b"\x02", b"\x03", b"\x04", b"\x05"]

    asyncio.run(read())


def test_an_error_is_raised_where_it_happened() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"first"
        raise OSError("the disk is gone")

    async def read() -> None:
        reading = read_ahead(chunks())
        assert await anext(reading) == b"first"
        with pytest.raises(OSError, match="the disk is gone"):
            await anext(reading)

    asyncio.run(read())


@pytest.mark.parametrize("fails", [True, False])
def test_what_nobody_waits_for_any_more_is_let_go(fails: bool) -> None:
    closed, go_on = threading.Event(), threading.Event()
    unheard: list[object] = []

    def chunks() -> Iterator[bytes]:
        try:
            yield b"first"
            go_on.wait(10)
            if fails:
                raise OSError("too late for anyone")
            yield b"second"
        finally:
            closed.set()

    async def read() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
        reading = read_ahead(chunks())
        assert await anext(reading) == b"first"
        await reading.aclose()  # type: ignore[attr-defined]
        del reading
        go_on.set()
        await asyncio.sleep(0.05)
        gc.collect()
        assert await asyncio.to_thread(closed.wait, 10), "the file is closed"
        gc.collect()

    asyncio.run(read())
    assert unheard == []
