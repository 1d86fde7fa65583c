"""Plans: stored once, read back equal, never changed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from planner.errors import Conflict, InvalidInput, NotFound
from planner.registry import plans


def test_save_and_get(registry, make):
    plan = make.plan()
    with registry.write() as tx:
        assert plans.save(tx, plan) is True
        assert plans.save(tx, plan) is False
        with pytest.raises(Conflict, match="plan-1"):
            plans.save(tx, make.plan(query="something else"))
    with registry.read() as tx:
        assert plans.get(tx, "plan-1") == plan
        with pytest.raises(NotFound, match="no plan `plan-2`"):
            plans.get(tx, "plan-2")
    assert registry.revision() == 0


def test_pages_newest_first(registry, make, all_pages):
    with registry.write() as tx:
        for n in range(5):
            plans.save(tx, make.plan(f"p{n}", as_of=make.now + timedelta(microseconds=n // 2)))
    with registry.read() as tx:
        ids = [plan.id for plan in all_pages(lambda **kw: plans.page(tx, limit=2, **kw))]
        assert ids == ["p4", "p3", "p2", "p1", "p0"]
        assert plans.page(tx, outcome="recommended").items == ()
        assert len(plans.page(tx, outcome="infeasible").items) == 5


def test_hostile_plans_are_refused_by_field(registry, make):
    with registry.write() as tx:
        with pytest.raises(InvalidInput, match=r"plan\.query"):
            plans.save(tx, make.plan(query="a\0b"))
        with pytest.raises(InvalidInput, match=r"plan\.as_of"):
            plans.save(tx, make.plan(as_of=make.now.replace(tzinfo=None)))
        with pytest.raises(InvalidInput, match=r"plan\.revision"):
            plans.save(tx, make.plan(revision=-1))
