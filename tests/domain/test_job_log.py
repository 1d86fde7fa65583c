from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from planner.domain.job_log import LogChunk, mark, render


def _chunk(start: int, text: str) -> LogChunk:
    return LogChunk(start=start, end=start + len(text.encode()), text=text)


def test_stretches_are_put_together() -> None:
    assert render([_chunk(0, "one\n"), _chunk(4, "two\n")], 0) == ("one\ntwo\n", 8, False)
    assert render([_chunk(0, "one\n"), _chunk(4, "two\n")], 4) == ("two\n", 8, False)
    assert render([], 7) == ("", 7, False)


def test_a_gap_is_a_line_of_its_own() -> None:
    text, end, truncated = render([_chunk(0, "half a li"), _chunk(1009, "ne\n")], 0)
    assert text == f"half a li\n{mark(1000)}\nne\n"
    assert (end, truncated) == (1012, True)
    assert render([_chunk(5, "end\n")], 0)[0] == f"{mark(5)}\nend\n"
    assert mark(1234567) == "[… 1,234,567 bytes truncated …]"


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=9), max_size=8), st.data())
def test_reading_from_where_the_last_reading_ended_gives_everything_once(texts, data) -> None:
    chunks, position = [], 0
    for text in texts:
        chunks.append(_chunk(position, text))
        position = chunks[-1].end
    cut = data.draw(st.integers(0, len(chunks)))
    first, middle, _ = render(chunks[:cut], 0)
    rest, end, truncated = render(chunks, middle)
    assert first + rest == "".join(texts)
    assert (end, truncated) == (position, False)


def test_a_position_inside_a_character_replaces_it() -> None:
    assert render([_chunk(0, "ä!")], 1)[0] == "�!"
