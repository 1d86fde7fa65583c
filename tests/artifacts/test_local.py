from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from planner.artifacts.local import LocalStore
from planner.artifacts.store import BlobStore
from planner.errors import IntegrityFailure, InvalidFile, InvalidInput, NotFound, Unavailable

DATA = random.Random(1).randbytes(2_500_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
EMPTY = hashlib.sha256(b"").hexdigest()


def pieces(data: bytes = DATA, size: int = 700_001) -> Iterator[bytes]:
    yield from (data[start : start + size] for start in range(0, len(data), size))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "blobs")


def staged(store: LocalStore) -> list[Path]:
    return list((store._root / "staging").iterdir())


def test_put_and_read_back(store: LocalStore):
    protocol: BlobStore = store
    blob = protocol.put(pieces())
    assert (blob.sha256, blob.size, blob.created) == (SHA256, len(DATA), True)
    path = store.path(SHA256)
    assert path == store._root / SHA256[:2] / SHA256[2:4] / SHA256
    assert path.read_bytes() == DATA
    assert path.stat().st_mode & 0o777 == 0o444
    assert store.size(SHA256) == len(DATA)
    assert b"".join(store.open(SHA256)) == DATA
    assert store.verify(SHA256) == len(DATA)
    assert staged(store) == []


def test_ranges(store: LocalStore):
    store.put([DATA])
    assert b"".join(store.open(SHA256, 1_000_000, 1_200_000)) == DATA[1_000_000:2_200_000]
    assert b"".join(store.open(SHA256, len(DATA) - 3, 100)) == DATA[-3:]
    assert b"".join(store.open(SHA256, len(DATA))) == b""
    assert b"".join(store.open(SHA256, 5, 0)) == b""
    for start, length in ((-1, None), (len(DATA) + 1, None), (0, -1)):
        with pytest.raises(InvalidInput):
            store.open(SHA256, start, length)


def test_the_same_bytes_twice(store: LocalStore):
    assert store.put([DATA]).created
    assert not store.put(pieces()).created
    assert not store.put(pieces(), sha256=SHA256, size=len(DATA)).created
    assert list(store.digests()) == [SHA256]
    assert staged(store) == []


def test_empty_blob(store: LocalStore):
    assert store.put([]).sha256 == EMPTY
    assert b"".join(store.open(EMPTY)) == b""


def test_digests_are_sorted_and_only_blobs(store: LocalStore):
    names = sorted(store.put([bytes([value])]).sha256 for value in range(50))
    (store._root / "readme").touch()
    (store._root / names[0][:2] / names[0][2:4] / "junk").touch()
    assert list(store.digests()) == names


@pytest.mark.parametrize("present", [False, True])
@pytest.mark.parametrize(
    ("sha256", "size", "message"),
    [
        (SHA256, len(DATA) + 1, "instead of 2500001"),
        (SHA256, len(DATA) - 1, "2499999"),
        (EMPTY, len(DATA), f"instead of {EMPTY}"),
        (EMPTY, None, f"sha256 is {SHA256}"),
    ],
)
def test_other_bytes_than_promised(
    store: LocalStore, sha256: str, size: int | None, message: str, present: bool
):
    if present:
        store.put([b"" if sha256 == EMPTY else DATA])
    before = list(store.digests())
    with pytest.raises(IntegrityFailure, match=message):
        store.put(pieces(), sha256=sha256, size=size)
    assert list(store.digests()) == before
    assert staged(store) == []


def test_an_endless_upload_is_cut_at_its_announced_size(store: LocalStore):
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(1000)

    with pytest.raises(IntegrityFailure, match="more than the 5000 bytes announced"):
        store.put(endless(), size=5000)


def test_an_error_of_the_sender_passes_through(store: LocalStore):
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError, match="gone"):
        store.put(broken())
    assert staged(store) == []
    assert list(store.digests()) == []


def test_absent_blobs_and_bad_digests(store: LocalStore):
    assert store.path(SHA256) is None
    assert store.size(SHA256) is None
    with pytest.raises(NotFound):
        store.open(SHA256)
    with pytest.raises(NotFound):
        store.verify(SHA256)
    for bad in ("", "../../etc/passwd", SHA256.upper(), SHA256[:-1], SHA256 + "\n", "/" * 64):
        calls: list[Callable[[str], object]] = [store.path, store.size, store.open]
        for call in calls:
            with pytest.raises(InvalidInput, match="is not a sha256"):
                call(bad)


def test_rotten_bytes_are_noticed_and_healed(store: LocalStore):
    store.put([DATA])
    path = store.path(SHA256)
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(DATA[:-1])
    with pytest.raises(IntegrityFailure):
        store.verify(SHA256)
    assert store.put([DATA]).created  # the size shows that what lies there is not the blob
    assert store.verify(SHA256) == len(DATA)


def test_put_file(store: LocalStore, tmp_path: Path):
    path = tmp_path / "model"
    path.write_bytes(DATA)
    assert store.put_file(path).created
    assert not store.put_file(path, sha256=SHA256).created
    with pytest.raises(InvalidFile, match="not a regular file"):
        store.put_file(tmp_path)


def test_concurrent_puts_of_the_same_bytes(store: LocalStore):
    with ThreadPoolExecutor(8) as pool:
        blobs = list(pool.map(lambda _: store.put(pieces()), range(16)))
    assert {blob.sha256 for blob in blobs} == {SHA256}
    assert store.verify(SHA256) == len(DATA)
    assert staged(store) == []


def test_old_staging_files_are_swept_at_start(store: LocalStore):
    old, young = store._staging / "1-old", store._staging / "2-young"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (time.time() - 90_000,) * 2)
    LocalStore(store._root)
    assert staged(store) == [young]
    assert store.sweep(older_than=-1) == 1


CHILD = """
import sys, time
from pathlib import Path
from planner.artifacts.local import LocalStore
def slow():
    for number in range(1000):
        yield bytes(100_000)
        if number == 20: print("going", flush=True)
        if number > 20: time.sleep(0.02)
LocalStore(Path(sys.argv[1])).put(slow())
"""


def test_a_killed_put_leaves_nothing_visible(store: LocalStore):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(store._root)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "going\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert list(store.digests()) == []
    assert len(staged(store)) == 1
    assert store.sweep() == 0  # it could still be alive as far as its age tells
    os.utime(staged(store)[0], (0, 0))
    assert store.sweep() == 1
    assert store.put([DATA]).created


def test_a_full_disk(store: LocalStore):
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from planner.artifacts.local import LocalStore\n"
        "from planner.errors import Unavailable\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "try: LocalStore(Path(sys.argv[1])).put([bytes(500_000)] * 3)\n"
        "except Unavailable as error: print(error.message)"
    )
    command = [sys.executable, "-c", code, str(store._root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "disk full while writing a blob\n"
    assert list(store.digests()) == []
    assert staged(store) == []


def test_a_store_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="opening the artifact store"):
        LocalStore(tmp_path / "file" / "blobs")
