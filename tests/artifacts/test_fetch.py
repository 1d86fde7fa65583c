from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from planner.artifacts import fetch as fetch_module
from planner.artifacts.fetch import PARTIAL, ByteSource, LocalSource, fetch
from planner.artifacts.local import LocalStore
from planner.domain.variant import Artifact
from planner.errors import Conflict, IntegrityFailure, InvalidInput, NotFound, Unavailable
from tests.artifacts.writers import artifact

CONTENT = {
    "model.safetensors": os.urandom(3_000_000),
    "config.json": b'{"a": 1}',
    "sub/deep/tokenizer.json": os.urandom(50_000),
    "empty": b"",
}
ARTIFACTS = tuple(artifact(path, data) for path, data in CONTENT.items())
TOTAL = sum(map(len, CONTENT.values()))
BIG = ARTIFACTS[0]


class Source:
    """Bytes in pieces, with chosen mischief, and a record of where reads began."""

    def __init__(self, content: dict[str, bytes] = CONTENT, piece: int = 100_000) -> None:
        self.content, self.piece = content, piece
        self.starts: list[tuple[str, int]] = []
        self.wrong: dict[str, int] = {}
        self.cut: list[int] = []

    def read(self, artifact: Artifact, start: int) -> Iterator[bytes]:
        self.starts.append((artifact.path, start))
        data = self.content[artifact.path]
        if self.wrong.get(artifact.path, 0) > 0:
            self.wrong[artifact.path] -= 1
            data = bytes(len(data))
        end = len(data)
        if self.cut and artifact == BIG:
            end = min(end, start + self.cut.pop(0))
        for position in range(start, end, self.piece):
            yield data[position : min(position + self.piece, end)]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetch_module, "_FIRST_PAUSE_S", 0.001)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and PARTIAL not in p.parts
    }


def test_files_arrive_verified(tmp_path: Path):
    seen: dict[str, list[int]] = {}
    report = fetch(
        Source(), ARTIFACTS, tmp_path / "a" / "b", progress=lambda a, n: seen.setdefault(a.path, []).append(n)
    )
    assert contents(tmp_path / "a" / "b") == CONTENT
    assert (report.files, report.bytes_total, report.bytes_fetched, report.bytes_resumed) == (
        4,
        TOTAL,
        TOTAL,
        0,
    )
    assert report.seconds > 0
    assert {path: steps[-1] for path, steps in seen.items()} == {
        path: len(data) for path, data in CONTENT.items()
    }
    assert all(steps == sorted(steps) for steps in seen.values())
    assert not (tmp_path / "a" / "b" / PARTIAL).exists()


def test_from_a_local_store(tmp_path: Path):
    store = LocalStore(tmp_path / "blobs")
    for data in CONTENT.values():
        store.put([data])
    source: ByteSource = LocalSource(store)
    fetch(source, ARTIFACTS, tmp_path / "out")
    assert contents(tmp_path / "out") == CONTENT
    with pytest.raises(NotFound):
        fetch(source, [artifact("x", b"never stored")], tmp_path / "other")


def test_right_files_are_kept_and_wrong_ones_replaced(tmp_path: Path):
    fetch(Source(), ARTIFACTS, tmp_path)
    source = Source()
    report = fetch(source, ARTIFACTS, tmp_path)
    assert source.starts == []
    assert (report.bytes_fetched, report.bytes_resumed) == (0, TOTAL)
    (tmp_path / "config.json").write_bytes(b'{"a": 2}')
    assert fetch(source, ARTIFACTS, tmp_path, verify_existing=False).bytes_fetched == 0
    assert fetch(source, ARTIFACTS, tmp_path).bytes_fetched == 8
    assert contents(tmp_path) == CONTENT


def test_the_same_bytes_at_two_paths_are_fetched_once(tmp_path: Path):
    data = CONTENT["model.safetensors"]
    source = Source({"a": data, "b/c": data})
    report = fetch(source, [artifact("a", data), artifact("b/c", data)], tmp_path)
    assert contents(tmp_path) == {"a": data, "b/c": data}
    assert report.bytes_fetched == len(data)
    assert len(source.starts) == 1


def test_a_cut_connection_is_resumed_where_it_broke(tmp_path: Path):
    source = Source()
    source.cut = [1_000_000, 500_000, 0]
    report = fetch(source, ARTIFACTS, tmp_path)
    assert contents(tmp_path) == CONTENT
    assert [start for path, start in source.starts if path == BIG.path] == [
        0,
        1_000_000,
        1_500_000,
        1_500_000,
    ]
    assert report.bytes_fetched == TOTAL


def test_a_source_that_stays_silent_is_given_up_and_the_rest_kept(tmp_path: Path):
    source = Source()
    source.cut = [1_000_000, *[0] * 20]
    with pytest.raises(
        Unavailable, match=r"model\.safetensors: the source ended after 1000000 of 3000000 bytes"
    ):
        fetch(source, ARTIFACTS, tmp_path)
    assert contents(tmp_path) == {}
    report = fetch(Source(), ARTIFACTS, tmp_path)
    assert contents(tmp_path) == CONTENT
    assert report.bytes_fetched == TOTAL - report.bytes_resumed
    assert report.bytes_resumed >= 1_000_000


def test_a_source_out_of_reach_is_tried_again(tmp_path: Path):
    class Flaky(Source):
        failures = 3

        def read(self, artifact: Artifact, start: int) -> Iterator[bytes]:
            if artifact == BIG and self.failures:
                self.failures -= 1
                raise Unavailable("server is restarting")
            return super().read(artifact, start)

    fetch(Flaky(), ARTIFACTS, tmp_path)
    assert contents(tmp_path) == CONTENT
    source = Flaky()
    source.failures = 100
    with pytest.raises(Unavailable, match="server is restarting"):
        fetch(source, ARTIFACTS, tmp_path / "other")


def test_wrong_bytes_once_are_fetched_again(tmp_path: Path):
    source = Source()
    source.wrong = {BIG.path: 1}
    fetch(source, ARTIFACTS, tmp_path)
    assert contents(tmp_path) == CONTENT


@pytest.mark.parametrize("mischief", ["zeros", "too long", "too short forever"])
def test_wrong_bytes_twice_leave_nothing_visible(tmp_path: Path, mischief: str):
    source = Source(dict(CONTENT))
    if mischief == "zeros":
        source.wrong = {BIG.path: 9}
    elif mischief == "too long":
        source.content[BIG.path] += b"more"
    else:
        source.content[BIG.path] = source.content[BIG.path][:-1]
    expected = Unavailable if mischief == "too short forever" else IntegrityFailure
    with pytest.raises(expected, match=r"model\.safetensors"):
        fetch(source, ARTIFACTS, tmp_path)
    assert contents(tmp_path) == {}


def test_a_rotten_partial_file_is_thrown_away(tmp_path: Path):
    (tmp_path / PARTIAL).mkdir()
    (tmp_path / PARTIAL / BIG.sha256).write_bytes(bytes(2_000_000))
    fetch(Source(), ARTIFACTS, tmp_path)
    assert contents(tmp_path) == CONTENT
    (tmp_path / PARTIAL).mkdir()
    (tmp_path / PARTIAL / BIG.sha256).write_bytes(bytes(9_000_000))
    (tmp_path / BIG.path).unlink()
    fetch(Source(), ARTIFACTS, tmp_path)
    assert contents(tmp_path) == CONTENT


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a\\b", "", "a//b", "C:/x"])
def test_paths_cannot_leave_the_folder(tmp_path: Path, path: str):
    with pytest.raises(InvalidInput):
        fetch(Source(), [artifact(path, b"x")], tmp_path)
    assert not (tmp_path.parent / "x").exists()


def test_links_in_the_folder_are_not_followed(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "target").write_bytes(b"precious")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "sub").symlink_to(outside)
    with pytest.raises(InvalidInput, match="symbolic link"):
        fetch(Source(), ARTIFACTS, folder)
    (folder / "sub").unlink()
    (folder / "config.json").symlink_to(outside / "target")
    fetch(Source(), ARTIFACTS, folder)
    assert not (folder / "config.json").is_symlink()
    assert (outside / "target").read_bytes() == b"precious"
    assert [path.name for path in outside.iterdir()] == ["target"]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "are empty"),
        (["a", "A"], "appears twice"),
        (["a", "a/b"], "both a file and a folder"),
        ([f"{PARTIAL}/x"], "own folder"),
    ],
)
def test_paths_that_clash(tmp_path: Path, paths: list[str], message: str):
    with pytest.raises(InvalidInput, match=message):
        fetch(Source(), [artifact(path, path.encode()) for path in paths], tmp_path)


def test_a_folder_in_the_place_of_a_file(tmp_path: Path):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(InvalidInput, match="is a folder there"):
        fetch(Source(), ARTIFACTS, tmp_path)


def test_space_is_checked_before_anything_is_read(tmp_path: Path):
    source = Source()
    huge = Artifact(path="huge", size=2**59, sha256="0" * 64)
    with pytest.raises(Unavailable, match=r"free, .* are needed"):
        fetch(source, [*ARTIFACTS, huge], tmp_path)
    assert source.starts == []


def test_what_is_here_already_needs_no_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = Source()
    source.cut = [2_900_000, *[0] * 20]
    with pytest.raises(Unavailable):
        fetch(source, [BIG], tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    fetch(Source(), [BIG], tmp_path)
    assert (tmp_path / BIG.path).read_bytes() == CONTENT[BIG.path]


def test_two_fetches_in_one_folder(tmp_path: Path):
    inside, leave = threading.Event(), threading.Event()

    class Waiting(Source):
        def read(self, artifact: Artifact, start: int) -> Iterator[bytes]:
            inside.set()
            assert leave.wait(20)
            return super().read(artifact, start)

    thread = threading.Thread(target=fetch, args=(Waiting(), ARTIFACTS, tmp_path))
    thread.start()
    assert inside.wait(20)
    with pytest.raises(Conflict, match="another fetch is working"):
        fetch(Source(), ARTIFACTS, tmp_path)
    leave.set()
    thread.join()
    assert contents(tmp_path) == CONTENT


def test_one_failure_stops_the_others(tmp_path: Path):
    class Endless(Source):
        def read(self, artifact: Artifact, start: int) -> Iterator[bytes]:
            if artifact.path == "config.json":
                raise NotFound("blob", artifact.sha256)
            while True:
                yield b""

    with pytest.raises(NotFound):
        fetch(Endless(), ARTIFACTS[:2], tmp_path)
    assert contents(tmp_path) == {}


CHILD = """
import sys, time
from pathlib import Path
from planner.artifacts.fetch import LocalSource, fetch
from planner.artifacts.local import LocalStore
from planner.artifacts.manifest import scan
class Slow(LocalSource):
    def read(self, artifact, start):
        for number, chunk in enumerate(super().read(artifact, start)):
            for position in range(0, len(chunk), 100_000):
                yield chunk[position:position + 100_000]
                time.sleep(float(sys.argv[4]))
            print("chunk", flush=True)
report = fetch(Slow(LocalStore(Path(sys.argv[1]))), scan(Path(sys.argv[2])), Path(sys.argv[3]))
print(report.bytes_fetched, report.bytes_resumed)
"""


def test_a_killed_fetch_is_resumed_by_the_next_process(tmp_path: Path):
    source, out = tmp_path / "source", tmp_path / "out"
    for path, data in {"a.safetensors": os.urandom(8_000_000), "b/c.json": b"{}"}.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(data)
    store = LocalStore(tmp_path / "blobs")
    for file in source.rglob("*"):
        if file.is_file():
            store.put_file(file)
    command: list[Any] = [sys.executable, "-c", CHILD, tmp_path / "blobs", source, out]
    for _ in range(2):
        child = subprocess.Popen([*command, "0.005"], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "chunk\n"
        child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert contents(out) == {}
    done = subprocess.run([*command, "0"], capture_output=True, text=True, check=True)
    fetched, resumed = map(int, done.stdout.split("\n")[-2].split())
    assert fetched + resumed == 8_000_002
    assert resumed >= 2_000_000
    assert contents(out) == contents(source)
    assert not (out / PARTIAL).exists()
