from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.api.ranges import Span, Unsatisfiable, keeps_range, matches, parse_range

ETAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "size", "span"),
    [
        ("bytes=0-0", 10, Span(0, 1)),
        ("bytes=0-9", 10, Span(0, 10)),
        ("bytes=3-", 10, Span(3, 7)),
        ("bytes=3-99999999999999999999999999", 10, Span(3, 7)),
        ("bytes=-3", 10, Span(7, 3)),
        ("bytes=-300", 10, Span(0, 10)),
        ("BYTES = 1 - 2 ", 10, Span(1, 2)),
        (None, 10, None),
        ("", 10, None),
        ("bytes=-", 10, None),
        ("bytes=5-2", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("items=0-1", 10, None),
        ("bytes=٣-٤", 10, None),
        ("bytes=1.5-2", 10, None),
        ("bytes=--3", 10, None),
    ],
)
def test_parse(header: str | None, size: int, span: Span | None) -> None:
    assert parse_range(header, size) == span


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ("bytes=10-", 10),
        ("bytes=10-11", 10),
        ("bytes=-0", 10),
        ("bytes=0-0", 0),
        ("bytes=-5", 0),
        ("bytes=" + "9" * 5000 + "-", 10),
    ],
)
def test_unsatisfiable(header: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        parse_range(header, size)


@given(st.text(max_size=60), st.integers(min_value=0, max_value=2**60))
def test_any_text_gives_a_part_of_the_file_or_nothing(header: str, size: int) -> None:
    try:
        span = parse_range(header, size)
    except Unsatisfiable:
        return
    if span is not None:
        assert span.start >= 0
        assert span.length > 0
        assert span.start + span.length <= size


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(1, 2**40))
def test_agrees_with_slicing(first: int, extra: int, size: int) -> None:
    header = f"bytes={first}-{first + extra}"
    wanted = range(size)[first : first + extra + 1]
    if len(wanted) == 0:
        with pytest.raises(Unsatisfiable):
            parse_range(header, size)
    else:
        assert parse_range(header, size) == Span(wanted[0], len(wanted))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (ETAG, True),
        (f"W/{ETAG}", True),
        (f'"x", {ETAG}', True),
        ("*", True),
        (" * ", True),
        ('"x"', False),
        ("abc", False),
        (None, False),
        ("", False),
    ],
)
def test_matches(header: str | None, expected: bool) -> None:
    assert matches(header, ETAG) is expected


def test_if_range_needs_a_strong_match() -> None:
    assert keeps_range(None, ETAG)
    assert keeps_range(ETAG, ETAG)
    assert not keeps_range(f"W/{ETAG}", ETAG)
    assert not keeps_range("Wed, 21 Oct 2026 07:28:00 GMT", ETAG)
