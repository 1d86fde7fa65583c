from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.artifacts.local import LocalStore
from planner.artifacts.parts import Parts, new_session
from planner.errors import Conflict, IntegrityFailure, InvalidInput, NotFound

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SIZE, HALF = len(CONTENT), len(CONTENT) // 2


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "blobs")


def write(parts: Parts, session: str, start: int, end: int, content: bytes = CONTENT) -> None:
    parts.write(session, [content[start:end]], size=SIZE, start=start, length=end - start)


def staged(store: LocalStore) -> list[Path]:
    return list(store.staging.iterdir())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(1, SIZE - 1), unique=True, max_size=5), order=st.randoms(), twice=st.booleans()
)
def test_parts_in_any_order_become_the_blob(store: LocalStore, cuts: list[int], order, twice: bool) -> None:
    edges = [0, *sorted(cuts), SIZE]
    spans = list(itertools.pairwise(edges))
    order.shuffle(spans)
    parts, session = Parts(store), new_session()
    for start, end in spans * (2 if twice else 1):
        write(parts, session, start, end)
    place = store.path(DIGEST)
    if place is not None:
        place.unlink()
    blob = parts.complete(session, sha256=DIGEST, size=SIZE)
    assert (blob.sha256, blob.size, blob.created) == (DIGEST, SIZE, True)
    assert b"".join(store.open(DIGEST)) == CONTENT
    assert staged(store) == []


def test_another_process_goes_on(store: LocalStore) -> None:
    session = new_session()
    write(Parts(store), session, 0, HALF)
    later = Parts(LocalStore(store.staging.parent))
    write(later, session, HALF, SIZE)
    assert later.complete(session, sha256=DIGEST, size=SIZE).created


def test_what_another_process_wrote_over_is_hashed_again(store: LocalStore) -> None:
    session, mine = new_session(), Parts(store)
    write(mine, session, 0, HALF)
    write(mine, session, HALF, SIZE)
    write(Parts(store), session, 0, HALF, bytes(SIZE))
    with pytest.raises(IntegrityFailure):
        mine.complete(session, sha256=DIGEST, size=SIZE)
    assert store.path(DIGEST) is None
    assert staged(store) == []


def test_a_part_that_broke_off_is_sent_again(store: LocalStore) -> None:
    session, parts = new_session(), Parts(store)

    def broken() -> Iterator[bytes]:
        yield b"wrong"
        raise ConnectionError

    write(parts, session, 0, HALF)
    with pytest.raises(ConnectionError):
        parts.write(session, broken(), size=SIZE, start=HALF, length=HALF)
    write(parts, session, HALF, SIZE)
    assert parts.complete(session, sha256=DIGEST, size=SIZE).created


@pytest.mark.parametrize("sent", [b"", CONTENT[:-1], CONTENT + b"x"])
def test_a_part_has_the_length_it_was_announced_with(store: LocalStore, sent: bytes) -> None:
    with pytest.raises(IntegrityFailure, match="part: received"):
        Parts(store).write(new_session(), [sent], size=SIZE, start=0, length=SIZE)


def test_what_is_not_whole_is_no_blob(store: LocalStore) -> None:
    session, parts = new_session(), Parts(store)
    write(parts, session, 0, HALF)
    with pytest.raises(IntegrityFailure, match="sha256"):
        parts.complete(session, sha256=DIGEST, size=SIZE)
    with pytest.raises(NotFound):
        parts.complete(session, sha256=DIGEST, size=SIZE)


@pytest.mark.parametrize("session", ["", "../../etc", "a" * 31, "G" * 32, "a" * 32 + "/"])
def test_a_session_is_no_path(store: LocalStore, session: str) -> None:
    with pytest.raises(InvalidInput, match="session"):
        write(Parts(store), session, 0, HALF)


@pytest.mark.parametrize(("start", "length"), [(-1, 5), (0, SIZE + 1), (SIZE, 1), (5, -1)])
def test_a_part_lies_inside_the_object(store: LocalStore, start: int, length: int) -> None:
    with pytest.raises(InvalidInput, match="lies outside"):
        Parts(store).write(new_session(), [b""], size=SIZE, start=start, length=length)


def test_nothing_is_completed_while_a_part_is_written(store: LocalStore) -> None:
    session, parts = new_session(), Parts(store)
    write(parts, session, 0, SIZE)
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        yield CONTENT[:1]
        begun.set()
        go_on.wait(10)
        yield CONTENT[1:]

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(parts.write, session, slow(), size=SIZE, start=0, length=SIZE)
        assert begun.wait(10)
        with pytest.raises(Conflict, match="still being written"):
            parts.complete(session, sha256=DIGEST, size=SIZE)
        go_on.set()
        writing.result()
    assert parts.complete(session, sha256=DIGEST, size=SIZE).created


def test_an_object_that_is_stored_already_is_dropped(store: LocalStore) -> None:
    store.put([CONTENT])
    session, parts = new_session(), Parts(store)
    write(parts, session, 0, HALF)
    assert not parts.complete(session, sha256=DIGEST, size=SIZE).created
    assert staged(store) == []


FULL = """
import resource, signal, sys
from pathlib import Path
from planner.artifacts.local import LocalStore
from planner.artifacts.parts import Parts, new_session
from planner.errors import OutOfSpace
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = LocalStore(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    Parts(store).write(new_session(), [bytes(200_000)], size=200_000, start=0, length=200_000)
except OutOfSpace as error:
    print(error.message)
"""


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "blobs")], capture_output=True, text=True, check=True
    )
    assert "disk full while" in done.stdout
