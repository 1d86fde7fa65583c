"""How fast variants are registered, listed and read into a snapshot, beside bare inserts of the same rows."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import insert

from planner.domain.listing import VariantSort
from planner.registry import evaluations, snapshot, variants
from planner.registry.tables import Blobs

COUNT = 200


def _rate(seconds: float, count: int = COUNT) -> str:
    return f"{count / seconds:8.0f}/s"


@pytest.mark.bench
def test_register_and_read(stocked, database, make):
    made = [make.variant(f"v{n}", weight_bytes=n) for n in range(2 * COUNT)]

    for variant in made[:20]:  # compile the statements and let the files grow first
        with stocked.write() as tx:
            variants.register(
                tx, make.variant(variant.name, artifacts=(make.artifact(f"warm {variant.name}"),))
            )

    start = time.perf_counter()
    for n in range(COUNT):
        with stocked.write() as tx:
            tx.insert_new(Blobs, {"sha256": f"{n:064}", "size": n})
    bare = time.perf_counter() - start

    start = time.perf_counter()
    for variant in made[:COUNT]:
        with stocked.write() as tx:
            variants.register(tx, variant)
    single = time.perf_counter() - start

    start = time.perf_counter()
    with stocked.write() as tx:
        for variant in made[COUNT:]:
            variants.register(tx, variant)
    batched = time.perf_counter() - start

    start = time.perf_counter()
    for variant in made[:COUNT]:
        with stocked.write() as tx:
            assert not variants.register(tx, variant)[1]
    again = time.perf_counter() - start

    with stocked.write() as tx:
        for n, variant in enumerate(made):
            evaluations.add(tx, make.evaluation(variant, f"e{n}"))
    start = time.perf_counter()
    with stocked.read() as tx:
        held = snapshot.contents(tx)
    read = time.perf_counter() - start
    assert len(held.variants) == 2 * COUNT + 21

    start = time.perf_counter()
    for _ in range(100):
        with stocked.read() as tx:
            variants.page(tx, sort=VariantSort.LOSS, limit=50)
    page = (time.perf_counter() - start) / 100

    start = time.perf_counter()
    with stocked.write() as tx:
        tx.connection.execute(insert(Blobs), [{"sha256": f"x{n:063}", "size": n} for n in range(COUNT)])
    print(
        f"\n{database}: register, one transaction each {_rate(single)} "
        f"({single / bare:.1f} times a bare one-row insert, {_rate(bare)}); in one transaction {_rate(batched)}; "
        f"already there {_rate(again)}; snapshot of {len(held.variants)} variants with evidence {read * 1000:.0f} ms; "
        f"page of 50 by loss {page * 1000:.1f} ms"
    )
