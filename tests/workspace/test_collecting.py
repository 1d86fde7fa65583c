"""Collection beside a registry on either database."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from planner.artifacts.local import LocalStore
from planner.domain.job import Job, JobKind
from planner.domain.lifecycle import VariantState
from planner.registry import Registry, blob_references, blobs, jobs
from planner.wire.retention import CollectRequest
from planner.workspace import collecting
from tests.registry.conftest import NOW


def put(store: LocalStore, content: bytes, *, age: float) -> str:
    sha256 = store.put([content]).sha256
    path = store.path(sha256)
    assert path is not None
    os.utime(path, (time.time() - age,) * 2)
    return sha256


def test_what_a_job_names_stays_and_the_rest_goes(registry: Registry, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "blobs")
    dataset, unused, young = (put(store, text, age=age) for text, age in ((b"d", 99), (b"u", 99), (b"y", 1)))
    with registry.write() as tx:
        spec = {
            "variant": {"from": "registry", "variant": "x"},
            "dataset": {"from": "blob", "sha256": dataset},
        }
        jobs.create(tx, Job(id="j", kind=JobKind.EVALUATE, spec=spec, created_at=NOW))
        for sha256 in (dataset, unused):
            blobs.record(tx, sha256, 1)
    done = collecting.collect(registry, store, CollectRequest(dry_run=False, grace_seconds=50))
    assert (done.files_seen, done.files_removed, done.bytes_removed, done.files_young) == (3, 1, 1, 1)
    assert set(store.digests()) == {dataset, young}
    with registry.read() as tx:
        assert blob_references.recorded(tx) == {dataset}


def test_a_file_that_begins_to_be_named_between_the_two_looks_stays(
    registry: Registry, tmp_path: Path, monkeypatch
) -> None:
    store = LocalStore(tmp_path / "blobs")
    named_late, counted_late, unused = (put(store, text, age=99) for text in (b"n", b"c", b"u"))
    real = collecting._unused

    def then_others_write(*arguments):
        found = real(*arguments)
        with registry.write() as tx:
            spec = {"dataset": {"from": "blob", "sha256": named_late}}
            jobs.create(tx, Job(id="late", kind=JobKind.EVALUATE, spec=spec, created_at=NOW))
        assert store.touch(counted_late)
        return found

    monkeypatch.setattr(collecting, "_unused", then_others_write)
    done = collecting.collect(registry, store, CollectRequest(dry_run=False, grace_seconds=50))
    assert done.files_removed == 1
    assert set(store.digests()) == {named_late, counted_late}
    assert store.size(unused) is None


def test_a_digest_in_a_state_names_no_file(registry: Registry, tmp_path: Path) -> None:
    """The history of states speaks of variants; a variant's digest is no file's."""
    store = LocalStore(tmp_path / "blobs")
    loose = put(store, b"x", age=99)
    assert loose == hashlib.sha256(b"x").hexdigest()
    with registry.write() as tx:
        from sqlalchemy import insert

        from planner.registry.tables import StateChanges

        told = VariantState(variant_id=f"sha256:{loose}", number=1)
        tx.connection.execute(
            insert(StateChanges).values(variant_id=told.variant_id, number=1, document=told)
        )
    done = collecting.collect(registry, store, CollectRequest(dry_run=False, grace_seconds=0))
    assert done.files_removed == 1
