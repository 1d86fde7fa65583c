"""Aliases: moved by compare-and-swap, with every move kept."""

from __future__ import annotations

import pytest

from planner.domain.alias import AliasMove
from planner.errors import Conflict, InvalidInput, NotFound
from planner.registry import aliases, variants
from planner.registry.aliases import ANY


@pytest.fixture
def two(stocked, make):
    """A registry with two variants, and their ids."""
    with stocked.write() as tx:
        second, _ = variants.register(tx, make.variant("int4"))
    return stocked, make.variant().id, second.id


def _move(tx, make, name, variant_id, expected, *, actor="ci"):
    return aliases.move(tx, name, variant_id, expected=expected, actor=actor, now=make.now)


def test_create_move_and_history(two, make, all_pages):
    registry, first, second = two
    with registry.write() as tx:
        created = _move(tx, make, "prod", first, None)
        assert (created.variant_id, created.number, created.moved_at) == (first, 1, make.now)
        _move(tx, make, "prod", second, first, actor="anna")
        _move(tx, make, "prod", first, ANY)
    with registry.read() as tx:
        assert aliases.get(tx, "prod").variant_id == first
        assert aliases.get(tx, "prod").number == 3
        moves = all_pages(lambda **kw: aliases.history(tx, "prod", limit=2, **kw))
    assert [(m.number, m.previous_variant_id, m.variant_id) for m in moves] == [
        (3, second, first),
        (2, first, second),
        (1, None, first),
    ]
    assert moves[1] == AliasMove(
        name="prod",
        number=2,
        variant_id=second,
        previous_variant_id=first,
        actor="anna",
        moved_at=make.now,
    )


def test_wrong_expectations_conflict_and_say_what_is_there(two, make):
    registry, first, second = two
    with registry.write() as tx:
        with pytest.raises(Conflict, match="does not exist"):
            _move(tx, make, "prod", first, second)
        _move(tx, make, "prod", first, ANY)
        with pytest.raises(Conflict) as caught:
            _move(tx, make, "prod", second, None)
        assert caught.value.details["current"] == first
        with pytest.raises(Conflict):
            _move(tx, make, "prod", second, second)
        assert aliases.get(tx, "prod").variant_id == first


def test_moving_to_where_it_points_changes_nothing(two, make):
    registry, first, _ = two
    with registry.write() as tx:
        created = _move(tx, make, "prod", first, None)
        assert _move(tx, make, "prod", first, first, actor="other") == created
        assert len(aliases.history(tx, "prod").items) == 1


def test_unknown_variants_and_aliases(two, make):
    registry, first, _ = two
    with registry.write() as tx:
        with pytest.raises(NotFound) as caught:
            _move(tx, make, "prod", "published:tiny-1b/none", None)
        assert caught.value.details["kind"] == "variant"
        _move(tx, make, "production", first, None)
        with pytest.raises(NotFound, match="no alias `producton`; nearest: `production`"):
            aliases.get(tx, "producton")
        with pytest.raises(NotFound):
            aliases.history(tx, "prod")


def test_pages(two, make, all_pages):
    registry, first, second = two
    with registry.write() as tx:
        for n in range(5):
            _move(tx, make, f"a{n}", second if n == 3 else first, None)
    with registry.read() as tx:
        names = [alias.name for alias in all_pages(lambda **kw: aliases.page(tx, limit=2, **kw))]
        assert names == [f"a{n}" for n in range(5)]
        assert [alias.name for alias in aliases.page(tx, variant_id=second).items] == ["a3"]


@pytest.mark.parametrize(
    "name", ["none", "", "Prod", "a/b", "a b", "-a", "a\0", "a" * 101, "0123456789abcdef", "..", "生产"]
)
def test_names_that_are_not_allowed(two, make, name):
    registry, first, _ = two
    with registry.write() as tx, pytest.raises(InvalidInput, match="alias"):
        _move(tx, make, name, first, None)


def test_actors_are_checked(two, make):
    registry, first, _ = two
    with registry.write() as tx, pytest.raises(InvalidInput, match="actor"):
        _move(tx, make, "prod", first, None, actor="a\0")
