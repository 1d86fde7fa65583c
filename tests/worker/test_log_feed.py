from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.domain.job_log import MAX_CHUNK_BYTES, LogChunk, render
from worker.log_feed import MAX_BEHIND_BYTES, LogFeed

pytestmark = pytest.mark.worker


def _drain(feed: LogFeed) -> list[LogChunk]:
    chunks: list[LogChunk] = []
    while (chunk := feed.next()) is not None:
        chunks.append(chunk)
        feed.sent(chunk)
    return chunks


def test_a_log_that_is_not_there_yet_has_nothing(tmp_path: Path) -> None:
    feed = LogFeed(tmp_path / "job.log")
    assert feed.next() is None
    assert not feed.has_more()


def test_a_stretch_comes_again_until_it_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "job.log"
    path.write_text("one\n")
    feed = LogFeed(path)
    first = feed.next()
    with path.open("a") as file:
        file.write("two\n")
    assert first == LogChunk(start=0, end=4, text="one\n")
    assert feed.next() == LogChunk(start=0, end=8, text="one\ntwo\n")
    feed.sent(first)
    assert feed.next() == LogChunk(start=4, end=8, text="two\n")


def test_half_a_character_waits_for_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "job.log"
    path.write_bytes(b"a" + "√".encode()[:2])
    feed = LogFeed(path)
    chunk = feed.next()
    assert chunk == LogChunk(start=0, end=1, text="a")
    feed.sent(chunk)
    with path.open("ab") as file:
        file.write("√".encode()[2:])
    assert _drain(feed) == [LogChunk(start=1, end=4, text="√")]


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "job.log"
    path.write_bytes(b"\xff\xfe\n\x80\x80\x80\x80\x80")
    text, end, truncated = render(_drain(LogFeed(path)), 0)
    assert text.startswith("��\n")
    assert (end, truncated) == (8, False)


def test_a_feed_that_is_far_behind_skips_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "job.log"
    size = MAX_BEHIND_BYTES + 5000
    path.write_bytes(b"x" * (size - 5) + b"\nend\n")
    text, end, truncated = render(_drain(LogFeed(path)), 0)
    assert truncated
    assert text.endswith("\nend\n")
    assert end == size
    assert len(text) < MAX_CHUNK_BYTES + 100


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(pieces=st.lists(st.text(st.characters(codec="utf-8"), max_size=30), max_size=10))
def test_all_text_arrives_once_and_whole(tmp_path: Path, pieces: list[str]) -> None:
    path = tmp_path / "job.log"
    path.write_bytes(b"")
    feed = LogFeed(path)
    chunks: list[LogChunk] = []
    content = "".join(pieces).encode()
    for start in range(0, len(content), 7):
        with path.open("ab") as file:
            file.write(content[start : start + 7])
        chunks += _drain(feed)
    assert render(chunks, 0) == ("".join(pieces), len(content), False)
