"""What needs a variant, read from both databases; and random registries of which nothing needed is ever deleted."""

from __future__ import annotations

import random
import re
import threading
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.choose.losses import is_baseline
from planner.domain.job import JobKind
from planner.domain.lifecycle import LifecycleState
from planner.domain.outcome import Recommended
from planner.domain.retention import Keep, RetentionPolicy, decide
from planner.domain.variant import Provenance
from planner.errors import Conflict, NotFound
from planner.registry import (
    Registry,
    aliases,
    blob_references,
    evaluations,
    jobs,
    lifecycle,
    pins,
    plans,
    retention,
    variants,
)
from planner.registry.aliases import ANY
from tests.registry.conftest import NOW, Make

DAY = timedelta(days=1)
LAST_ONE = RetentionPolicy(version=1, keep=Keep(last=1))


class Builder:
    """Fills a registry one fact at a time."""

    def __init__(self, registry: Registry, make: Make) -> None:
        self.registry, self.make = registry, make
        self.ids: list[str] = []

    def variant(self, name: str, *, age: float = 100, base: str | None = None) -> str:
        made = self.make.variant(
            name,
            created_at=NOW - age * DAY,
            provenance=Provenance(base_variant_id=base),
        )
        with self.registry.write() as tx:
            variants.register(tx, made)
        self.ids.append(made.id)
        return made.id

    def alias(self, name: str, variant_id: str, *, age: float = 0) -> None:
        with self.registry.write() as tx:
            aliases.move(tx, name, variant_id, expected=ANY, actor="ci", now=NOW - age * DAY)

    def pin(self, variant_id: str) -> str:
        with self.registry.write() as tx:
            return pins.add(
                tx,
                variant_id,
                id_=f"pin-{len(variant_id)}-{variant_id[7:15]}",
                reason="r",
                actor="ann",
                now=NOW,
            ).id

    def plan(self, id_: str, variant_id: str) -> None:
        candidate = msgspec.convert(_candidate(variant_id), type=Recommended)
        with self.registry.write() as tx:
            plans.save(tx, self.make.plan(id_, result=candidate))

    def job(self, id_: str, **spec: Any) -> None:
        with self.registry.write() as tx:
            jobs.create(tx, self.make.job(id_, kind=JobKind.MEASURE, spec=spec))

    def evaluation(self, id_: str, variant_id: str, against: str) -> None:
        with self.registry.write() as tx:
            variant = variants.get(tx, variant_id)
            evaluations.add(tx, self.make.evaluation(variant, id_, baseline_variant_id=against))

    def decide(self, policy: RetentionPolicy = LAST_ONE) -> dict[str, list[str]]:
        """Return the reasons by name of what is kept."""
        with self.registry.read() as tx:
            needed = retention.needed(tx, alias_history=policy.alias_history_days * DAY, now=NOW)
            decisions = decide(retention.stored(tx, is_baseline), policy, needed=needed, now=NOW)
        return {each.name: [reason.detail for reason in each.reasons] for each in decisions if each.kept}


def _candidate(variant_id: str) -> dict[str, Any]:
    """Return the document of an answer that chose a variant."""
    figure = {"value": 1.0, "unit": "bytes", "basis": "modelled"}
    memory = {
        "weights": figure,
        "kv_cache": figure,
        "activations": figure,
        "overhead": figure,
        "total": figure,
        "capacity": None,
        "fit_probability": None,
        "devices": 1,
    }
    chosen = {
        "variant_id": variant_id,
        "model_id": "tiny-1b",
        "name": "x",
        "scheme": "int8",
        "fetchable": True,
        "memory": memory,
        "loss": None,
        "latency": {},
        "checks": [],
    }
    return {
        "outcome": "recommended",
        "chosen": chosen,
        "reasons": [],
        "alternatives": [],
        "frontier": [],
        "eliminations": [],
        "eliminated": {},
        "warnings": [],
        "placements": [],
    }


@pytest.fixture
def build(stocked: Registry, make: Make) -> Builder:
    builder = Builder(stocked, make)
    builder.variant("newest", age=0)
    return builder


def test_every_kind_of_need_is_seen(build: Builder) -> None:
    named, once, chosen, pinned, _, unused = (
        build.variant(name) for name in ("named", "once", "chosen", "pinned", "measured", "unused")
    )
    build.alias("prod", once, age=50)
    build.alias("prod", named, age=20)
    build.plan("plan-a", chosen)
    build.pin(pinned)
    build.job("j1", variant={"from": "registry", "variant": "tiny-1b/measured"})
    assert build.decide() == {
        "newest": ["among the newest 1 of tiny-1b"],
        "named": ["prod points at it"],
        "chosen": ["plan plan-a chose it"],
        "pinned": ["pinned by ann: r"],
        "measured": ["measure job j1 is queued"],
    }
    window = msgspec.structs.replace(LAST_ONE, alias_history_days=21)
    assert build.decide(window)["once"] == [f"prod pointed at it until {NOW - 20 * DAY:%Y-%m-%d}"]
    assert "once" not in build.decide(msgspec.structs.replace(LAST_ONE, alias_history_days=19))
    with build.registry.write() as tx:
        jobs.cancel(tx, "j1", now=NOW)
    assert "measured" not in build.decide()
    assert unused not in build.decide()


def test_a_deleted_alias_counts_as_history(build: Builder) -> None:
    build.alias("old", build.variant("named"), age=30)
    with build.registry.write() as tx:
        aliases.remove(tx, "old", actor="ann", now=NOW - 10 * DAY)
    assert "named" not in build.decide()
    assert "named" in build.decide(msgspec.structs.replace(LAST_ONE, alias_history_days=11))


def test_pins(build: Builder, all_pages: Any) -> None:
    first = build.variant("first")
    pin = build.pin(first)
    assert build.pin(first) == pin
    with build.registry.write() as tx:
        other = pins.add(tx, build.ids[0], id_="pin-z", reason="r", actor="bob", now=NOW)
        assert [each.id for each in all_pages(lambda **more: pins.page(tx, limit=1, **more))] == [
            pin,
            other.id,
        ]
        assert [each.id for each in pins.page(tx, variant_id=first).items] == [pin]
        assert pins.remove(tx, pin).variant_id == first
        with pytest.raises(NotFound):
            pins.remove(tx, pin)
        lifecycle.put(tx, first, LifecycleState.DELETED, reason="r", actor="a", now=NOW)
        with pytest.raises(Conflict, match="nothing to keep"):
            pins.add(tx, first, id_="pin-y", reason="r", actor="bob", now=NOW)


def test_deletion_marks_and_is_not_done_twice(build: Builder) -> None:
    gone = build.variant("gone")
    for expected in ({gone, build.make.variant().id}, set()):
        with build.registry.write() as tx:
            needed = retention.needed(tx, alias_history=0 * DAY, now=NOW)
            decisions = decide(retention.stored(tx, is_baseline), LAST_ONE, needed=needed, now=NOW)
            done = retention.delete(tx, decisions, reason="policy abc", actor="retention", now=NOW)
        assert set(done) == expected
    with build.registry.read() as tx:
        assert lifecycle.get(tx, gone).describe() == "deleted: policy abc"
        assert variants.get(tx, gone).artifacts, "the record stays"
        assert not variants.page(tx, _fetchable()).items[1:]


def _fetchable() -> Any:
    from planner.domain.listing import VariantFilter

    return VariantFilter(fetchable=True)


def test_files_are_named_by_whatever_tells_of_them(build: Builder, make: Make) -> None:
    one = build.variant("one")
    dataset, original, loose = "a" * 64, "b" * 64, "c" * 64
    build.job(
        "j1", variant={"from": "registry", "variant": "one"}, dataset={"from": "blob", "sha256": dataset}
    )
    with build.registry.write() as tx:
        variant = variants.get(tx, one)
        evaluations.add(tx, make.evaluation(variant, "e1", citation=f"kept as {original}"))
        named = blob_references.named(tx)
        file = variant.artifacts[0].sha256
        assert {file, dataset, original} <= named
        assert loose not in named
        assert blob_references.named(tx, {file, loose}) == {file}
        lifecycle.put(tx, one, LifecycleState.DELETED, reason="r", actor="a", now=NOW)
        assert file not in blob_references.named(tx)


@given(
    st.lists(
        st.text('0123456789abcdefgZ "', max_size=70) | st.binary(min_size=32, max_size=32).map(bytes.hex),
        max_size=12,
    )
)
def test_hashes_are_found_as_a_pattern_would_find_them(parts: list[str]) -> None:
    text = "".join(parts)
    pattern = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
    assert blob_references.hashes_in(text.encode()) == set(pattern.findall(text))


@pytest.mark.parametrize("seed", range(4))
def test_random_registries_keep_what_is_needed(build: Builder, seed: int) -> None:
    chance = random.Random(seed)
    for n in range(18):
        base = chance.choice([*build.ids, None, None])
        build.variant(f"v{n}", age=chance.uniform(1, 100), base=base)
    pick = lambda: chance.choice(build.ids)  # noqa: E731
    needed: set[str] = set()
    history = chance.choice([0, 30])
    for n in range(3):
        first, second = pick(), pick()
        build.alias(f"a{n}", first, age=60)
        build.alias(f"a{n}", second, age=20)
        needed |= {second} | ({first} if history else set())
    for n in range(2):
        planned, pinned, busy, compared = pick(), pick(), pick(), pick()
        build.plan(f"p{n}", planned)
        build.pin(pinned)
        build.job(f"j{n}", variant={"from": "registry", "variant": busy[: 7 + 14]})
        build.evaluation(f"e{n}", planned, compared)
        needed |= {planned, pinned, busy, compared}
    policy = RetentionPolicy(version=1, keep=Keep(last=2), alias_history_days=history)
    with build.registry.write() as tx:
        facts = retention.needed(tx, alias_history=history * DAY, now=NOW)
        decisions = decide(retention.stored(tx, is_baseline), policy, needed=facts, now=NOW)
        gone = set(retention.delete(tx, decisions, reason="r", actor="a", now=NOW))
    with build.registry.read() as tx:
        kept = {id_ for id_ in build.ids if id_ not in gone}
        for id_ in tuple(kept):
            base = variants.get(tx, id_).provenance.base_variant_id
            assert base is None or base in kept, "the base of what is kept is kept"
        named = blob_references.named(tx)
        for id_ in build.ids:
            files = {artifact.sha256 for artifact in variants.get(tx, id_).artifacts}
            assert (files <= named) == (id_ in kept)
    assert needed <= kept
    assert len(kept) < len(build.ids), "something is deleted, so the test can fail"


@pytest.mark.parametrize("attempt", range(6))
def test_an_alias_never_points_at_what_is_deleted_at_the_same_time(build: Builder, attempt: int) -> None:
    wanted = build.variant("wanted")
    build.alias("prod", build.ids[0])
    barrier = threading.Barrier(2)
    refused: list[Exception] = []

    def moves() -> None:
        barrier.wait()
        try:
            build.alias("prod", wanted)
        except Conflict as error:
            refused.append(error)

    def deletes() -> None:
        barrier.wait()
        with build.registry.write() as tx:
            tx.lock_revision()
            needed = retention.needed(tx, alias_history=0 * DAY, now=NOW)
            decisions = decide(retention.stored(tx, is_baseline), LAST_ONE, needed=needed, now=NOW)
            retention.delete(tx, decisions, reason="r", actor="a", now=NOW)

    threads = [threading.Thread(target=action) for action in (moves, deletes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with build.registry.read() as tx:
        deleted = not lifecycle.get(tx, wanted).state.has_files
        points = aliases.get(tx, "prod").variant_id == wanted
    assert deleted != points
    assert bool(refused) == deleted
