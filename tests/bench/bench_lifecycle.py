"""Retention and collection on a large registry: what they take, and what a scan for named files costs beside reading.

Run with `pytest -m bench -s tests/bench/bench_lifecycle.py`.
"""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Text, select, type_coerce

from planner.artifacts.local import LocalStore
from planner.choose.losses import is_baseline
from planner.domain.retention import Keep, RetentionPolicy, decide
from planner.domain.variant import Artifact
from planner.registry import (
    Registry,
    blob_references,
    devices,
    kinds,
    models,
    open_registry,
    retention,
    variants,
)
from planner.registry.tables import Variants
from planner.wire.retention import CollectRequest, collect_all
from planner.workspace.collecting import collect
from tests.registry.conftest import NOW, Make

VARIANTS, FILES, LOOSE = 10_000, 8, 5_000
pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    make = Make()
    registry = open_registry(f"sqlite:///{tmp_path_factory.mktemp('large') / 'planner.db'}")
    with registry.write() as tx:
        devices.put(tx, make.device())
        for n in range(20):
            models.put(tx, make.model(f"m{n}-1b"))
        made = [
            make.variant(
                f"v{n}",
                f"m{n % 20}-1b",
                created_at=NOW - timedelta(hours=n),
                artifacts=tuple(
                    Artifact(path=f"{part}.safetensors", size=10, sha256=make.artifact(f"{n}/{part}").sha256)
                    for part in range(FILES)
                ),
            )
            for n in range(VARIANTS)
        ]
        kinds.add(tx, variants.KIND, made, source="registered")
    return registry


def _timed(what: str, call):
    began = time.perf_counter()
    result = call()
    print(f"{what}: {time.perf_counter() - began:.2f} s")
    return result


def test_retention_decides_on_many_variants(large: Registry) -> None:
    policy = RetentionPolicy(version=1, keep=Keep(last=50))

    def run():
        with large.read() as tx:
            needed = retention.needed(tx, alias_history=timedelta(0), now=NOW)
            return decide(retention.stored(tx, is_baseline), policy, needed=needed, now=NOW)

    decisions = _timed(f"deciding on {VARIANTS:,} variants", run)
    assert sum(each.kept for each in decisions) == 50 * 20


def test_a_scan_beside_reading_the_same_rows(large: Registry) -> None:
    with large.read() as tx:
        began = time.perf_counter()
        rows = tx.connection.execute(select(type_coerce(Variants.document, Text))).scalars()
        size = sum(len(text) for text in rows)
        reading = time.perf_counter() - began
        began = time.perf_counter()
        named = blob_references.named(tx)
        scanning = time.perf_counter() - began
    assert len(named) >= VARIANTS * FILES
    print(
        f"{size / 1e6:.0f} MB of documents read in {reading:.2f} s, scanned in {scanning:.2f} s: x {scanning / reading:.1f}"
    )


def test_collecting_many_files(large: Registry, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "blobs")
    for n in range(LOOSE):
        text = f"{n}".encode()
        sha256 = store.put([text]).sha256
        path = store.path(sha256)
        assert path is not None
        os.utime(path, (0, 0))

    class Service:
        def collect(self, request: CollectRequest):
            return collect(large, store, request)

    done = _timed(
        f"removing {LOOSE:,} files",
        lambda: collect_all(Service(), CollectRequest(dry_run=False, grace_seconds=1)),  # type: ignore[arg-type]
    )
    assert done.files_removed == LOOSE
