"""Retention and collection on real files: nothing needed is lost, whoever writes meanwhile and whenever the process dies."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from planner.artifacts.inspection import inspect
from planner.domain.lifecycle import LifecycleState
from planner.domain.listing import VariantFilter
from planner.domain.retention import Keep, RetentionPolicy
from planner.errors import Conflict, InvalidFile, InvalidInput
from planner.registry import blob_references, blobs
from planner.wire.lifecycle import SetState
from planner.wire.retention import CollectRequest, PinRequest, RetentionRequest, collect_all
from planner.workspace import Workspace, collecting
from tests.workspace.folders import write_llama

ROOT = Path(__file__).parents[2]
POLICY = RetentionPolicy(version=1, keep=Keep(names=("keep*",)))
NOW = CollectRequest(dry_run=False, grace_seconds=0)


def register(workspace: Workspace, folder: Path, name: str, seed: int) -> str:
    done = workspace.register(write_llama(folder / name, seed=seed), name=name, model="tinyllama-1.1b-x")
    return done.digest


@pytest.fixture
def three(workspace: Workspace, tmp_path: Path) -> dict[str, str]:
    """Three registered variants of one new model, by name."""
    return {
        name: register(workspace, tmp_path, name, seed)
        for seed, name in enumerate(("keep-1", "old-1", "old-2"))
    }


def loose(workspace: Workspace, content: bytes, *, age: float = 0) -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    workspace.upload([content], sha256=sha256)
    old(workspace, sha256, age)
    return sha256


def old(workspace: Workspace, sha256: str, age: float) -> None:
    path = workspace.store.path(sha256)
    assert path is not None
    moment = time.time() - age
    os.utime(path, (moment, moment))


def apply(workspace: Workspace, *, dry_run: bool = False, policy: RetentionPolicy = POLICY):
    return workspace.retention(RetentionRequest(policy=policy, dry_run=dry_run, actor="ann"))


def files_of(workspace: Workspace, name: str) -> set[str]:
    return {artifact.sha256 for artifact in workspace.variant(name).artifacts}


def test_a_dry_run_changes_nothing_and_says_what_would_happen(workspace, three):
    revision = workspace.registry.revision()
    report = apply(workspace, dry_run=True)
    assert {each.name for each in report.decisions if not each.kept} == {"old-1", "old-2"}
    assert (report.kept, report.deleted) == (len(report.decisions) - 2, 2)
    only_old = (files_of(workspace, "old-1") | files_of(workspace, "old-2")) - files_of(workspace, "keep-1")
    assert report.bytes_unused == sum(workspace.artifact_size(each) for each in only_old)
    assert workspace.registry.revision() == revision


def test_deleted_variants_keep_their_record_and_lose_their_files(workspace, three):
    workspace.pin(PinRequest(variant="old-2", reason="in the field", actor="ann"))
    report = apply(workspace)
    assert [each.name for each in report.decisions if not each.kept] == ["old-1"]
    state = workspace.state("old-1").current
    assert (state.state, state.actor) == (LifecycleState.DELETED, "ann")
    assert state.reason == f"not kept by retention policy {POLICY.digest[:12]}"
    before = files_of(workspace, "old-1")
    shared = before & (files_of(workspace, "keep-1") | files_of(workspace, "old-2"))
    assert shared, "configurations are alike"
    trial = collect_all(workspace, msgspec.structs.replace(NOW, dry_run=True))
    done = collect_all(workspace, NOW)
    assert (done.files_removed, done.bytes_removed) == (len(before - shared), report.bytes_unused)
    assert (trial.files_removed, trial.bytes_removed) == (done.files_removed, done.bytes_removed)
    assert set(workspace.missing(sorted(before))) == before - shared
    assert not workspace.missing(sorted(files_of(workspace, "keep-1") | files_of(workspace, "old-2")))
    assert workspace.variant("old-1").artifacts
    fetchable = workspace.variants(VariantFilter(fetchable=True, model="tinyllama-1.1b-x")).items
    assert {row.variant.name for row in fetchable} == {"keep-1", "old-2"}
    assert collect_all(workspace, NOW).files_removed == 0


def test_registering_deleted_bytes_again_brings_the_variant_back(workspace, three, tmp_path):
    apply(workspace)
    done = workspace.register(tmp_path / "old-1", dry_run=True)
    assert workspace.state("old-1").current.state is LifecycleState.DELETED
    assert any("was deleted" in warning for warning in done.warnings)
    with pytest.raises(InvalidInput, match="not set by hand"):
        workspace.set_state("old-2", SetState(state=LifecycleState.DELETED, reason="x"))
    done = workspace.register(tmp_path / "old-1")
    assert not done.created
    assert workspace.state("old-1").current.state is LifecycleState.ACTIVE
    collect_all(workspace, NOW)
    with pytest.raises(InvalidInput, match=r"files of .* are gone"):
        workspace.set_state("old-2", SetState(state=LifecycleState.ACTIVE, reason="x"))
    done = workspace.register(tmp_path / "old-2")
    assert not done.created
    assert workspace.state("old-2").current.reason == "its files were registered again"
    assert not workspace.missing(sorted(files_of(workspace, "old-2")))
    collect_all(workspace, NOW)
    assert not workspace.missing(sorted(files_of(workspace, "old-2")))


def test_a_variant_that_is_withheld_is_not_active_again_by_registering_it(workspace, three, tmp_path):
    workspace.set_state("old-1", SetState(state=LifecycleState.QUARANTINED, reason="bad"))
    assert "it is quarantined: bad" in workspace.register(tmp_path / "old-1").warnings
    assert workspace.state("old-1").current.state is LifecycleState.QUARANTINED


@pytest.mark.parametrize(
    "state", [LifecycleState.QUARANTINED, LifecycleState.YANKED, LifecycleState.DEPRECATED]
)
def test_what_was_withheld_before_it_was_deleted_comes_back_so(workspace, three, tmp_path, state):
    workspace.set_state("old-1", SetState(state=state, reason="bad", replacement="keep-1"))
    apply(workspace)
    assert workspace.state("old-1").current.state is LifecycleState.DELETED
    collect_all(workspace, NOW)
    done = workspace.register(tmp_path / "old-1")
    (said,) = [warning for warning in done.warnings if "was deleted" in warning]
    assert f"so it is as before {state.value}: bad" in said
    found = workspace.state("old-1").current
    assert (found.state, found.reason) == (state, "bad")
    assert found.replacement_id == workspace.variant("keep-1").id


def test_only_what_is_old_enough_is_collected(workspace):
    young, aged = loose(workspace, b"young", age=50), loose(workspace, b"aged", age=150)
    asked = loose(workspace, b"asked about", age=150)
    assert workspace.missing([asked]) == ()
    again = loose(workspace, b"sent again", age=150)
    workspace.upload([b"sent again"], sha256=again)
    (workspace.store.staging / "cut-off").write_bytes(b"half")
    os.utime(workspace.store.staging / "cut-off", (time.time() - 3700,) * 2)
    (workspace.store.staging / "going-on").write_bytes(b"half")
    os.utime(workspace.store.staging / "going-on", (time.time() - 3000,) * 2)
    done = collect_all(workspace, CollectRequest(dry_run=False, grace_seconds=100))
    assert (done.files_removed, done.files_young, done.uploads_removed) == (1, 3, 1)
    assert workspace.missing([young, aged, asked, again]) == (aged,)
    assert [path.name for path in workspace.store.staging.iterdir()] == ["going-on"]


def test_rounds_go_on_where_the_last_one_ended(workspace, monkeypatch):
    monkeypatch.setattr(collecting, "BATCH", 7)
    all_of_them = {loose(workspace, f"{n}".encode()) for n in range(40)}
    seen: list[tuple[int, float]] = []
    request, total = NOW, 0
    while True:
        done = collecting.collect(workspace.registry, workspace.store, request, round_seconds=0)
        total += done.files_removed
        seen.append((done.files_seen, done.share))
        if done.next_after is None:
            break
        request = msgspec.structs.replace(request, after=done.next_after)
    assert total == 40
    assert [count for count, _ in seen] == [7, 7, 7, 7, 7, 5]
    assert [share for _, share in seen] == sorted(share for _, share in seen)
    assert seen[-1][1] == 1.0
    assert set(workspace.missing(sorted(all_of_them))) == all_of_them


def test_entries_without_a_file_are_taken_off_the_list(workspace):
    lost = loose(workspace, b"lost")
    with workspace.registry.write() as tx:
        blobs.record(tx, lost, 4)
    path = workspace.store.path(lost)
    assert path is not None
    path.unlink()
    assert collect_all(workspace, msgspec.structs.replace(NOW, dry_run=True)).records_removed == 1
    assert collect_all(workspace, NOW).records_removed == 1
    with workspace.registry.read() as tx:
        assert lost not in blob_references.recorded(tx)


def test_files_collected_under_a_registration_are_refused_and_not_half_registered(
    workspace, tmp_path, monkeypatch
):
    """The worst moment: the bytes are looked for, then collected, then the variant is written."""
    from planner.workspace import registration

    folder = write_llama(tmp_path / "new", seed=9)
    real = inspect

    def collected_meanwhile(files):
        found = real(files)
        collect_all(workspace, NOW)
        return found

    monkeypatch.setattr(registration, "inspect", collected_meanwhile)
    with pytest.raises(Conflict, match="collected as unused meanwhile; upload them again"):
        workspace.register(folder, name="new", model="tinyllama-1.1b-x")
    monkeypatch.setattr(registration, "inspect", real)
    assert workspace.register(folder, name="new", model="tinyllama-1.1b-x").created


def test_collecting_while_others_register_loses_nothing(workspace, tmp_path):
    """With the shortest grace period there is, and many loose files that share bytes with what is registered."""
    folders = [write_llama(tmp_path / f"v{n}", seed=n) for n in range(6)]
    failures: list[BaseException] = []
    finished = threading.Event()

    def collecting_all_the_time() -> None:
        while not finished.is_set():
            collect_all(workspace, CollectRequest(dry_run=False, grace_seconds=0))

    def registering(folder: Path) -> None:
        for _ in range(60):
            try:
                workspace.register(folder, name=folder.name, model="tinyllama-1.1b-x")
            except (Conflict, InvalidFile, InvalidInput):
                continue  # collected before it was registered, or while its headers were read: sent again
            return
        failures.append(AssertionError(f"{folder.name} was never registered"))

    collector = threading.Thread(target=collecting_all_the_time)
    collector.start()
    threads = [threading.Thread(target=registering, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    finished.set()
    collector.join()
    assert not failures
    for folder in folders:
        assert not workspace.missing(sorted(files_of(workspace, folder.name)))


_COLLECT = """
import sys
from pathlib import Path
from planner.settings import load_settings
from planner.wire.retention import CollectRequest, collect_all
from planner.workspace import Workspace, collecting
collecting.BATCH = 5
with Workspace(load_settings({}, data_dir=Path(sys.argv[1]), port=0)) as workspace:
    print("ready", flush=True)
    done = collect_all(workspace, CollectRequest(dry_run=False, grace_seconds=0))
    print(done.files_removed, flush=True)
"""


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_collection_that_is_killed_lost_nothing_and_the_next_one_ends_it(workspace, three, share):
    unused = {loose(workspace, f"loose {n}".encode()) for n in range(120)}
    with workspace.registry.write() as tx:
        for sha256 in unused:
            blobs.record(tx, sha256, workspace.store.size(sha256) or 0)
    needed = set().union(*(files_of(workspace, name) for name in three))
    code = [sys.executable, "-c", _COLLECT, str(workspace.settings.data_dir)]
    with subprocess.Popen(code, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        while len(list(workspace.store.digests())) > len(needed) + (1 - share) * len(unused):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        rest = process.stdout.read()
    assert rest == b"", "it was killed in the middle"
    left = set(workspace.store.digests())
    assert needed <= left
    assert left - needed < unused
    done = collect_all(workspace, NOW)
    assert done.files_removed == len(left - needed)
    assert set(workspace.store.digests()) == needed
    with workspace.registry.read() as tx:
        assert blob_references.recorded(tx) == needed
    assert apply(workspace, dry_run=True).deleted == 2
