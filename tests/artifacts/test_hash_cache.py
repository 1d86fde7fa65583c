from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from planner.artifacts import hash_cache
from planner.artifacts.hash_cache import HashCache, cache_folder
from planner.artifacts.manifest import scan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "out"
    made.mkdir()
    (made / "a.json").write_text("{}")
    (made / "b.json").write_text("[]")
    return made


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as left alone at once."""
    monkeypatch.setattr(hash_cache, "SETTLED_SECONDS", -3600.0)


def hits(cache: Path, folder: Path) -> int:
    known = HashCache(cache, folder)
    assert scan(folder, cache=known) == scan(folder)
    return known.hits


@pytest.mark.usefixtures("settled")
def test_only_what_changed_is_read(tmp_path: Path, folder: Path) -> None:
    cache = tmp_path / "cache"
    assert [hits(cache, folder) for _ in range(2)] == [0, 2]
    (folder / "a.json").write_text('{"x": 1}')
    assert [hits(cache, folder) for _ in range(2)] == [1, 2]
    (folder / "c.json").write_text("{}")
    assert hits(cache, folder) == 2
    (folder / "c.json").unlink()
    assert hits(cache, folder) == 2


@pytest.mark.usefixtures("settled")
def test_the_same_size_and_a_forged_time_deceive_nobody(tmp_path: Path, folder: Path) -> None:
    cache, file = tmp_path / "cache", folder / "a.json"
    hits(cache, folder)
    before = file.stat()
    time.sleep(0.02)
    file.write_text("[]")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert hits(cache, folder) == 1
    other = folder / "other"
    other.write_text("{}")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)
    assert hits(cache, folder) == 1


def test_what_was_touched_just_now_is_not_kept(tmp_path: Path, folder: Path) -> None:
    assert [hits(tmp_path / "cache", folder) for _ in range(2)] == [0, 0]


@pytest.mark.usefixtures("settled")
def test_a_time_in_the_future_is_not_believed(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_cache, "SETTLED_SECONDS", 0.0)
    later = time.time() + 1000
    for file in folder.iterdir():
        os.utime(file, (later, later))
    assert [hits(tmp_path / "cache", folder) for _ in range(2)] == [0, 0]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"a.json": [1,2]}', '{"a.json": [0,0,0,0,0,"zz"]}', "\x00"]
)
def test_a_damaged_cache_is_none(tmp_path: Path, folder: Path, content: str) -> None:
    cache = tmp_path / "cache"
    hits(cache, folder)
    next(cache.glob("*.json")).write_text(content)
    assert [hits(cache, folder) for _ in range(2)] == [0, 2]


@pytest.mark.usefixtures("settled")
def test_a_cache_that_cannot_be_written_is_none(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "file").write_text("")
    assert [hits(tmp_path / "file" / "cache", folder) for _ in range(2)] == [0, 0]


def test_where_it_lies() -> None:
    assert cache_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/variant-planner/hashes")
    assert cache_folder({"HOME": "/h"}) == Path("/h/.cache/variant-planner/hashes")
