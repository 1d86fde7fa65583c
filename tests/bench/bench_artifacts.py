"""Throughput of put, scan and fetch against a plain copy of the same bytes in the same run.

Run with `python -m pytest tests/bench/bench_artifacts.py -m bench -s`. Nothing here fails on wall time.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from planner.artifacts.fetch import LocalSource, fetch
from planner.artifacts.local import LocalStore
from planner.artifacts.manifest import scan
from planner.domain.variant import Artifact

pytestmark = pytest.mark.bench

FILES = 4
FILE_BYTES = 96 * 1024 * 1024
ROUNDS = 5


def _seconds(action: Callable[[Path], object], folder: Path) -> float:
    """Return the seconds of `action(folder)`; what earlier work left to be written back is synced first."""
    os.sync()
    began = time.perf_counter()
    action(folder)
    seconds = time.perf_counter() - began
    shutil.rmtree(folder, ignore_errors=True)
    return seconds


def _copy(source: Path, target: Path, *, sync: bool) -> None:
    target.mkdir()
    for path in source.iterdir():
        shutil.copyfile(path, target / path.name)
        if sync:
            with (target / path.name).open("rb") as file:
                os.fsync(file.fileno())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for number in range(FILES):
        (folder / f"model-{number}.safetensors").write_bytes(os.urandom(FILE_BYTES))
    return folder


def test_throughput(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    total = FILES * FILE_BYTES
    artifacts: list[Artifact] = list(scan(source))
    store, placed = LocalStore(tmp_path / "blobs"), tmp_path / "placed"

    def put(folder: Path) -> None:
        fresh = LocalStore(folder)
        for artifact in artifacts:
            fresh.put_file(source / artifact.path)

    def put_again(_: Path) -> None:
        for artifact in artifacts:
            store.put_file(source / artifact.path, sha256=artifact.sha256)

    put_again(tmp_path)
    fetch(LocalSource(store), artifacts, placed)
    actions: dict[str, Callable[[Path], object]] = {
        "shutil.copyfile": lambda folder: _copy(source, folder, sync=False),
        "shutil.copyfile + fsync": lambda folder: _copy(source, folder, sync=True),
        "scan (sha256, 4 threads)": lambda _: scan(source),
        "put (sha256, fsync, rename)": put,
        "put of bytes already stored": put_again,
        "fetch (sha256, fsync, rename)": lambda folder: fetch(LocalSource(store), artifacts, folder),
        "fetch of files already there": lambda _: fetch(LocalSource(store), artifacts, placed),
    }
    rounds: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(ROUNDS):  # in turn, so that a busy moment of the machine hits all alike
        for name, action in actions.items():
            rounds[name].append(_seconds(action, tmp_path / f"round-{number}"))
    results = {name: statistics.median(seconds) for name, seconds in rounds.items()}
    plain, synced = results["shutil.copyfile"], results["shutil.copyfile + fsync"]
    with capsys.disabled():
        print(f"\n{FILES} files of {FILE_BYTES >> 20} MiB, median of {ROUNDS} rounds")
        for name, seconds in results.items():
            print(
                f"{name:32} {total / seconds / 2**20:8.0f} MiB/s   {plain / seconds:5.2f} x copy   "
                f"{synced / seconds:5.2f} x copy + fsync"
            )
    for artifact in artifacts:
        assert store.size(artifact.sha256) == artifact.size
