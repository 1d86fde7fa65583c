"""Snapshots: the index of any revision, exactly as it was when that revision was new."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.catalogue import load_catalogue
from planner.domain.scenario import Preset
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from planner.registry import catalogue as catalogues
from planner.registry import devices, evaluations, models, profiles, snapshot, variants
from planner.registry.tables import Base


def test_an_empty_registry(registry):
    with registry.read() as tx:
        held = snapshot.contents(tx)
    assert held == snapshot.Contents(
        models=(), variants=(), evaluations=(), profiles=(), devices=(), states=(), revision=0
    )


def test_everything_is_there_in_order(stocked, make):
    variant = make.variant()
    with stocked.write() as tx:
        variants.register(tx, make.published())
        profiles.add(tx, make.profile(variant, "p2"))
        profiles.add(tx, make.profile(variant, "p1"))
        evaluations.add(tx, make.evaluation(variant))
    with stocked.read() as tx:
        held = snapshot.contents(tx)
    assert held.models == (make.model(),)
    assert held.devices == (make.device(),)
    assert held.variants == (make.published(), variant)
    assert [profile.id for profile in held.profiles] == ["p1", "p2"]
    assert held.evaluations == (msgspec.structs.replace(make.evaluation(variant), documents=()),)


@pytest.mark.parametrize("revision", [-1, 2, 10**30])
def test_revisions_that_do_not_exist(stocked, revision):
    with stocked.read() as tx, pytest.raises(InvalidInput, match="0 to 1"):
        snapshot.contents(tx, as_of=revision)


STEPS = st.lists(
    st.tuples(st.sampled_from(["model", "device", "variant", "evidence", "catalogue"]), st.integers(0, 3)),
    max_size=12,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_every_revision_can_be_read_again_exactly(registry, make, steps):
    with registry.write() as tx:
        for table in reversed(Base.metadata.sorted_tables):
            if table.name != "counters":
                tx.connection.execute(table.delete())
    seen: dict[int, snapshot.Contents] = {}
    for step, (what, n) in enumerate(steps):
        with registry.write() as tx:
            model, variant = make.model(), make.published(f"v{n}")
            models.put(tx, make.model(note=f"{n}") if what == "model" else model)
            devices.put(tx, make.device(note=f"{n}" if what == "device" else None))
            if what in {"variant", "evidence"}:
                variants.register(tx, variant)
            if what == "evidence":
                profiles.add(tx, make.profile(variant, f"p{n}"))
                evaluations.add(tx, make.evaluation(variant, f"e{n}"))
            if what == "catalogue":
                listed = make.published(f"c{n}", weight_bytes=100 + step)
                entries = make.catalogue(
                    digest=str(step),
                    variants=(listed,),
                    evaluations=(make.evaluation(listed, f"ce{n % 2}", loss=step / 100),),
                )
                catalogues.sync(tx, entries)
        with registry.read() as tx:
            held = snapshot.contents(tx)
            assert seen.setdefault(held.revision, held) == held, "nothing changes without a new revision"
    with registry.read() as tx:
        for revision, held in seen.items():
            assert snapshot.contents(tx, as_of=revision) == held


def test_load_builds_the_index_of_a_revision(registry, make):
    preset = Preset(id="chat", name="Chat", description="Talk", workload=Workload())
    with registry.write() as tx:
        catalogues.sync(tx, load_catalogue())
    first = registry.revision()
    with registry.write() as tx:
        models.put(tx, make.model())
        variants.register(tx, make.variant())
    with registry.read() as tx:
        now = snapshot.load(tx, presets=(preset,))
        then = snapshot.load(tx, as_of=first, presets=(preset,))
    assert now.revision == first + 1
    assert then.revision == first
    assert set(now.variants) - set(then.variants) == {make.variant().id}
    assert {model.id for model in load_catalogue().models} == set(then.models)
    assert set(now.presets) == {"chat"}
