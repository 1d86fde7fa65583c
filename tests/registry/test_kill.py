"""A process killed in the middle of writing leaves whole transactions or nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from planner.registry import evaluations, models, snapshot, variants

ROOT = Path(__file__).parents[2]

_PREPARE = """
import os, sys, time
sys.path.insert(0, {folder!r})
from conftest import Make
from planner.registry import open_registry, variants, evaluations, jobs
make = Make()
registry = open_registry(sys.argv[1])
"""
_HALF_WAY = """
with registry.write() as tx:
    for n in range(5):
        variant, _ = variants.register(tx, make.variant(f"half-{n}"))
        evaluations.add(tx, make.evaluation(variant, f"half-{n}"))
    jobs.create(tx, make.job())
    print("ready", flush=True)
    time.sleep(60)
"""
_ENDLESS = """
print("ready", flush=True)
for n in range(100_000):
    with registry.write() as tx:
        variant, _ = variants.register(tx, make.variant(f"{os.getpid()}-{n}"))
        evaluations.add(tx, make.evaluation(variant, f"{os.getpid()}-{n}"))
"""


def _run_and_kill(url: str, script: str, *, after: float) -> None:
    code = _PREPARE.format(folder=str(Path(__file__).parent)) + script
    with subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(after)
        process.kill()


def test_a_transaction_that_was_not_committed_never_happened(stocked, database_url, make):
    with stocked.read() as tx:
        before = snapshot.contents(tx)
    _run_and_kill(database_url, _HALF_WAY, after=0)
    with stocked.read() as tx:
        assert snapshot.contents(tx) == before
    with stocked.write() as tx:  # and its locks are gone
        assert models.put(tx, make.model("next-1b"))


@pytest.mark.parametrize("after", [0.05, 0.2])
def test_every_transaction_is_whole_whenever_the_process_dies(stocked, database_url, make, after):
    start = stocked.revision()
    _run_and_kill(database_url, _ENDLESS, after=after)
    with stocked.write() as tx:
        held = snapshot.contents(tx)
        assert {e.variant_id for e in held.evaluations} == {v.id for v in held.variants} - {make.variant().id}
        assert held.revision == start + len(held.evaluations)
        assert all(row.loss is not None for row in variants.page(tx).items if row.variant.name != "int8")
        assert evaluations.add(tx, make.evaluation(make.variant(), "after"))
