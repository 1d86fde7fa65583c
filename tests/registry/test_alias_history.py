"""Aliases over time: what was one on that date, protection, moving back, deletion, and states that bar a variant."""

from __future__ import annotations

from datetime import timedelta

import pytest

from planner.domain.lifecycle import LifecycleState
from planner.errors import Conflict, InvalidInput, NotFound
from planner.registry import Registry, aliases, lifecycle, variants
from planner.registry.aliases import ANY
from tests.registry.conftest import NOW, Make

DAY = timedelta(days=1)


class Moved:
    """A registry with three variants and an alias to move about."""

    def __init__(self, registry: Registry, make: Make) -> None:
        self.registry = registry
        self.ids = [make.variant().id]
        with registry.write() as tx:
            self.ids += [variants.register(tx, make.variant(name))[0].id for name in ("int4", "int2")]

    def move(self, to: int, day: float, *, expected=ANY):
        with self.registry.write() as tx:
            return aliases.move(tx, "prod", self.ids[to], expected=expected, actor="ci", now=NOW + day * DAY)

    def at(self, day: float) -> str | None:
        with self.registry.read() as tx:
            return aliases.at(tx, "prod", NOW + day * DAY).variant_id

    def remove(self, day: float, **given):
        with self.registry.write() as tx:
            return aliases.remove(tx, "prod", actor="ann", now=NOW + day * DAY, **given)

    def back(self, day: float, **given):
        with self.registry.write() as tx:
            return aliases.roll_back(tx, "prod", actor="ann", now=NOW + day * DAY, **given)

    def state(self, of: int, state: LifecycleState) -> None:
        with self.registry.write() as tx:
            lifecycle.put(tx, self.ids[of], state, reason="bad", actor="ann", now=NOW)


@pytest.fixture
def moved(stocked: Registry, make: Make) -> Moved:
    return Moved(stocked, make)


def test_what_was_prod_on_that_date(moved: Moved) -> None:
    a, b, c = moved.ids
    moved.move(0, 0)
    moved.move(1, 2)
    moved.move(2, 4)
    moved.remove(6)
    moved.move(0, 8)
    days = (-1, 0, 1.5, 2, 3, 4, 5.9, 6, 7, 8, 100)
    assert [moved.at(day) for day in days] == [None, a, a, b, b, c, c, None, None, a, a]
    with moved.registry.read() as tx:
        found = aliases.at(tx, "prod", NOW + 3 * DAY)
        assert found.move is not None
        assert (found.move.number, found.move.moved_at, found.move.actor) == (2, NOW + 2 * DAY, "ci")
        with pytest.raises(NotFound):
            aliases.at(tx, "never", NOW)
        with pytest.raises(InvalidInput, match="time zone"):
            aliases.at(tx, "prod", NOW.replace(tzinfo=None))


def test_a_deleted_alias_keeps_its_history_and_goes_on_counting(moved: Moved) -> None:
    moved.move(0, 0)
    ended = moved.remove(1)
    assert (ended.number, ended.variant_id, ended.previous_variant_id, ended.actor) == (
        2,
        None,
        moved.ids[0],
        "ann",
    )
    with moved.registry.read() as tx:
        with pytest.raises(NotFound):
            aliases.get(tx, "prod")
        assert [move.number for move in aliases.history(tx, "prod").items] == [2, 1]
        assert aliases.page(tx).items == ()
    assert moved.move(1, 2, expected=None).number == 3
    with pytest.raises(Conflict, match="was expected at"):
        moved.remove(3, expected=moved.ids[0])
    assert moved.remove(3, expected=moved.ids[1]).number == 4


def test_a_protected_alias_moves_by_compare_and_swap_only_and_is_not_deleted(moved: Moved) -> None:
    a, _, _ = moved.ids
    moved.move(0, 0)
    with moved.registry.write() as tx:
        assert aliases.protect(tx, "prod", protected=True).protected
    with pytest.raises(InvalidInput, match=f"expected: is not given, and `prod` is protected.*{a}"):
        moved.move(1, 1)
    with pytest.raises(Conflict, match="protected and is not deleted"):
        moved.remove(1)
    assert moved.move(1, 1, expected=a).protected
    assert moved.back(2).variant_id == a
    with moved.registry.write() as tx:
        assert not aliases.protect(tx, "prod", protected=False).protected
        with pytest.raises(NotFound):
            aliases.protect(tx, "absent", protected=True)
    moved.remove(3)


def test_moving_back(moved: Moved) -> None:
    a, b, c = moved.ids
    moved.move(0, 0)
    with pytest.raises(Conflict, match="since it was created"):
        moved.back(1)
    moved.move(1, 1)
    moved.move(2, 2)
    with pytest.raises(Conflict, match="was expected"):
        moved.back(3, expected=a)
    assert moved.back(3, expected=c).variant_id == b
    assert moved.back(4).variant_id == c
    moved.state(1, LifecycleState.YANKED)
    with pytest.raises(Conflict, match=r"cannot point at .* which is yanked: bad"):
        moved.back(5)


@pytest.mark.parametrize("state", [LifecycleState.YANKED, LifecycleState.QUARANTINED, LifecycleState.DELETED])
def test_an_alias_is_not_pointed_at_what_is_withheld(moved: Moved, state: LifecycleState) -> None:
    moved.move(0, 0)
    moved.state(1, state)
    with pytest.raises(Conflict, match=f"which is {state.value}: bad"):
        moved.move(1, 1)
    moved.state(2, LifecycleState.DEPRECATED)
    assert moved.move(2, 1).number == 2
    moved.state(2, LifecycleState.YANKED)
    assert moved.move(2, 2).number == 2, "where it points already, nothing changes"
