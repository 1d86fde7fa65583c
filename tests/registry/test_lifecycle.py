from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from planner.domain.lifecycle import LifecycleState, VariantState
from planner.errors import Conflict, InvalidInput, NotFound
from planner.registry import Registry, downloads, lifecycle, variants
from planner.wire.rows import DownloadRow
from tests.registry.conftest import NOW, Make

S = LifecycleState


@pytest.fixture
def pair(stocked: Registry, make: Make) -> tuple[Registry, str, str]:
    """A registry with two variants, and their ids."""
    second = make.variant("int4")
    with stocked.write() as tx:
        variants.register(tx, second)
    return stocked, make.variant().id, second.id


def _put(registry: Registry, variant_id: str, state: LifecycleState, **changes: Any) -> VariantState:
    given = {"reason": f"because {state.value}", "actor": "ann", "now": NOW, **changes}
    with registry.write() as tx:
        return lifecycle.put(tx, variant_id, state, **given)


def test_a_variant_is_active_until_somebody_says_otherwise(pair: tuple[Registry, str, str]) -> None:
    registry, one, _ = pair
    with registry.read() as tx:
        found = lifecycle.history(tx, one)
    assert found.current == VariantState(variant_id=one)
    assert found.history == ()


def test_every_change_is_kept_newest_first(pair: tuple[Registry, str, str]) -> None:
    registry, one, other = pair
    _put(registry, one, S.DEPRECATED, replacement_id=other)
    _put(registry, one, S.YANKED, now=NOW + timedelta(hours=1), actor="bob")
    _put(registry, one, S.ACTIVE, now=NOW + timedelta(hours=2))
    with registry.read() as tx:
        found = lifecycle.history(tx, one)
    assert [(s.number, s.state, s.actor, s.replacement_id) for s in found.history] == [
        (3, S.ACTIVE, "ann", None),
        (2, S.YANKED, "bob", None),
        (1, S.DEPRECATED, "ann", other),
    ]
    assert found.current == found.history[0]
    assert found.history[2].changed_at == NOW


def test_the_same_state_for_the_same_reason_changes_nothing(pair: tuple[Registry, str, str]) -> None:
    registry, one, _ = pair
    first = _put(registry, one, S.YANKED)
    revision = registry.revision()
    assert _put(registry, one, S.YANKED, actor="bob", now=NOW + timedelta(days=1)) == first
    assert registry.revision() == revision
    assert _put(registry, one, S.YANKED, reason="another one").number == 2


def test_a_change_raises_the_revision(pair: tuple[Registry, str, str]) -> None:
    registry, one, _ = pair
    before = registry.revision()
    _put(registry, one, S.QUARANTINED)
    assert registry.revision() == before + 1


def test_refusals(pair: tuple[Registry, str, str]) -> None:
    registry, one, other = pair
    with pytest.raises(NotFound):
        _put(registry, "sha256:" + "0" * 64, S.YANKED)
    with pytest.raises(InvalidInput, match="reason: is empty"):
        _put(registry, one, S.YANKED, reason=" ")
    with pytest.raises(InvalidInput, match="replacement: is the variant itself"):
        _put(registry, one, S.YANKED, replacement_id=one)
    with pytest.raises(InvalidInput, match="replacement: is given for an active variant"):
        _put(registry, one, S.ACTIVE, replacement_id=other)
    with pytest.raises(Conflict, match="expected to be yanked"):
        _put(registry, one, S.ACTIVE, expected=S.YANKED)
    _put(registry, other, S.QUARANTINED)
    with pytest.raises(Conflict, match="quarantined cannot become deprecated"):
        _put(registry, other, S.DEPRECATED)
    with pytest.raises(Conflict, match=r"the replacement .* is quarantined: because quarantined"):
        _put(registry, one, S.YANKED, replacement_id=other)
    with registry.read() as tx:
        assert lifecycle.history(tx, one).history == ()


def test_states_are_listed_by_variant(pair: tuple[Registry, str, str], all_pages: Any) -> None:
    registry, one, other = pair
    _put(registry, one, S.YANKED)
    _put(registry, other, S.QUARANTINED)
    with registry.read() as tx:
        everything = all_pages(lambda **more: lifecycle.page(tx, limit=1, **more))
        yanked = lifecycle.page(tx, state=S.YANKED).items
        assert lifecycle.in_state(tx, S.QUARANTINED) == {other}
    assert [state.variant_id for state in everything] == sorted([one, other])
    assert [state.variant_id for state in yanked] == [one]


def test_a_variant_with_a_state_is_not_withdrawn(pair: tuple[Registry, str, str]) -> None:
    from planner.registry import kinds

    registry, one, other = pair
    _put(registry, one, S.YANKED)
    with registry.write() as tx:
        assert kinds.withdraw(tx, variants.KIND, [one, other]) == 1
    with registry.read() as tx:
        assert variants.get(tx, one).id == one


def test_a_listing_carries_the_state(pair: tuple[Registry, str, str]) -> None:
    registry, one, other = pair
    state = _put(registry, one, S.YANKED, replacement_id=other)
    with registry.read() as tx:
        found = {row.variant.id: row.state for row in variants.page(tx).items}
    assert found == {one: state, other: None}


def test_who_still_pulls_what_was_yanked(pair: tuple[Registry, str, str]) -> None:
    registry, one, other = pair
    with registry.write() as tx:
        for variant_id in (one, other):
            row = DownloadRow(
                id=variant_id[-12:], repository="r", revision="main", variant_id=variant_id, plan_id=None,
                client="10.0.0.1", user_agent="tests", started_at=NOW, last_at=NOW,
            )  # fmt: skip
            downloads.record(tx, row)
    _put(registry, one, S.YANKED)
    with registry.read() as tx:
        by_state = {state: downloads.page(tx, state=state).items for state in (S.YANKED, S.ACTIVE, S.DELETED)}
    assert [[row.variant_id for row in rows] for rows in by_state.values()] == [[one], [other], []]
