"""Syncing the catalogue: idempotent, follows corrections, never touches what users registered."""

from __future__ import annotations

import threading

import msgspec
import pytest

from planner.errors import InvalidInput, NotFound
from planner.registry import aliases, devices, evaluations, models, profiles, snapshot, variants
from planner.registry import catalogue as catalogues
from planner.registry.catalogue import SyncCounts


@pytest.fixture
def first(make):
    listed = make.published("gptq"), make.published("awq")
    return make.catalogue(
        digest="one",
        models=(make.model(), make.model("other-7b")),
        devices=(make.device(), make.device("card-24")),
        variants=listed,
        evaluations=(make.evaluation(listed[0], "e1"), make.evaluation(listed[1], "e2")),
        profiles=(make.profile(listed[0], "p1"),),
    )


def _sync(registry, catalogue):
    with registry.write() as tx:
        return catalogues.sync(tx, catalogue)


def test_the_first_sync_adds_everything_at_one_revision(registry, first):
    assert _sync(registry, first) == SyncCounts(added=9)
    assert registry.revision() == 1
    with registry.read() as tx:
        assert catalogues.digest(tx) == "one"
        rows = variants.page(tx).items
    assert [(row.variant.name, row.profile_count) for row in rows] == [("awq", 0), ("gptq", 1)]
    assert all(row.loss for row in rows)


def test_the_same_digest_is_skipped(registry, first):
    _sync(registry, first)
    assert _sync(registry, first) == SyncCounts()
    assert registry.revision() == 1


def test_an_equal_catalogue_of_another_digest_changes_no_content(registry, first):
    _sync(registry, first)
    assert _sync(registry, msgspec.structs.replace(first, digest="two")) == SyncCounts(unchanged=9)
    with registry.read() as tx:
        held = snapshot.contents(tx)
        assert msgspec.structs.replace(snapshot.contents(tx, as_of=1), revision=2) == held


def test_corrections_replace_and_dropped_entries_are_withdrawn(registry, first, make):
    _sync(registry, first)
    gptq = make.published("gptq", weight_bytes=2000)
    second = msgspec.structs.replace(
        first,
        digest="two",
        models=(make.model(note="corrected"),),
        devices=first.devices[:1],
        variants=(gptq,),
        evaluations=(make.evaluation(gptq, "e1", loss=0.5),),
        profiles=(),
    )
    assert _sync(registry, second) == SyncCounts(changed=3, unchanged=1, withdrawn=5)
    with registry.read() as tx:
        (row,) = variants.page(tx).items
        assert row.variant == gptq
        assert row.loss is not None
        assert row.loss.value == 0.5
        assert row.profile_count == 0
        assert models.page(tx).items == second.models
        assert devices.page(tx).items == second.devices
        with pytest.raises(NotFound):
            models.get(tx, "other-7b-chat")
        then = snapshot.contents(tx, as_of=1)
    assert then.variants == (first.variants[1], first.variants[0])
    assert then.models == (first.models[1], first.models[0])
    assert len(then.profiles) == 1


def test_what_is_referred_to_is_not_withdrawn(registry, first, make):
    _sync(registry, first)
    gptq, awq = first.variants
    with registry.write() as tx:
        aliases.move(tx, "prod", awq.id, expected=None, actor="ci", now=make.now)
        profiles.add(tx, make.profile(gptq, "mine"))
    counts = _sync(registry, make.catalogue(digest="empty"))
    assert (
        counts.withdrawn == 2 + 1 + 1 + 1
    )  # evaluations, the profile, a device and a model nothing refers to
    with registry.read() as tx:
        assert variants.get(tx, "prod") == awq
        assert [row.profile_count for row in variants.page(tx).items] == [0, 1]
        assert [row.loss for row in variants.page(tx).items] == [None, None]
        assert [p.id for p in profiles.page(tx).items] == ["mine"]


def test_entries_that_users_hold_are_kept(registry, first, make):
    mine = make.model(note="mine")
    with registry.write() as tx:
        models.put(tx, mine)
        devices.put(tx, make.device())
    assert _sync(registry, first) == SyncCounts(added=7, kept=1, unchanged=1)
    _sync(registry, make.catalogue(digest="empty"))
    with registry.read() as tx:
        assert models.get(tx, "tiny-1b") == mine
        assert devices.get(tx, "board-8") == make.device()


def test_inconsistent_catalogues_are_refused_whole(registry, first, make):
    stray = make.published("stray", "no-model")
    for change, problem in (
        ({"variants": (*first.variants, stray)}, "unknown model `no-model`"),
        ({"evaluations": (make.evaluation(stray),)}, "unknown variant"),
        ({"profiles": (make.profile(first.variants[0], device_id="none"),)}, "unknown device `none`"),
        ({"models": (*first.models, first.models[0])}, "an id twice"),
        ({"devices": (make.device(name="a\0"),)}, "device.name"),
    ):
        with pytest.raises(InvalidInput, match=problem):
            _sync(registry, msgspec.structs.replace(first, **change))
    assert registry.revision() == 0


def test_evidence_of_users_counts_beside_the_catalogues(registry, first, make):
    _sync(registry, first)
    with registry.write() as tx:
        evaluations.add(tx, make.evaluation(first.variants[0], "mine", loss=0.03))
    _sync(registry, msgspec.structs.replace(first, digest="two", evaluations=()))
    with registry.read() as tx:
        (row,) = [row for row in variants.page(tx).items if row.variant.name == "gptq"]
    assert row.loss is not None
    assert row.loss.evidence == ("mine",)


def test_processes_that_start_together_sync_once(registry, first):
    results = []
    threads = [threading.Thread(target=lambda: results.append(_sync(registry, first))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.added for result in results) == [0, 0, 0, 9]
    assert registry.revision() == 1


def test_the_built_in_catalogue_loads(registry):
    from planner.catalogue import load_catalogue

    built_in = load_catalogue()
    counts = _sync(registry, built_in)
    entries = (
        built_in.models,
        built_in.devices,
        built_in.variants,
        built_in.evaluations,
        built_in.profiles,
    )
    assert counts == SyncCounts(added=sum(len(entry) for entry in entries))
    assert _sync(registry, built_in) == SyncCounts()
