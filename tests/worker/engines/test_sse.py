from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engines.sse import BadStream, EventParser

pytestmark = pytest.mark.worker
STREAM = b': hello\n\ndata: {"a": 1}\n\nevent: x\nid: 3\ndata: first\ndata: second\n\r\ndata:tight\r\n\r\ndata: [DONE]\n\n'
EVENTS = [b'{"a": 1}', b"first\nsecond", b"tight", b"[DONE]"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_events_are_the_same_wherever_the_bytes_are_cut(cuts):
    parser = EventParser()
    ends = [0, *sorted(cuts), len(STREAM)]
    found = [event for a, b in itertools.pairwise(ends) for event in parser.feed(STREAM[a:b])]
    assert found == EVENTS


@given(st.binary(max_size=2000))
def test_whatever_comes_is_read_or_refused(content):
    parser = EventParser(max_line_bytes=500, max_stream_bytes=1500)
    try:
        events = parser.feed(content)
    except BadStream:
        return
    assert all(len(event) <= 500 for event in events)


@pytest.mark.parametrize(
    "content",
    [b"data: " + b"x" * 2000, b"data: yyyyyyyy\n" * 200, b": x\n" * 3000],
    ids=["line", "event", "stream"],
)
def test_every_size_has_a_limit(content):
    with pytest.raises(BadStream):
        EventParser(max_line_bytes=1000, max_stream_bytes=10_000).feed(content)
