"""Transactions: all or nothing, readers cannot write, revisions count changes, driver errors are translated."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, text

from planner.errors import Conflict, PlannerError, Unavailable
from planner.registry import models, open_registry, variants
from planner.registry.tables import Blobs, Variants


def test_an_exception_rolls_everything_back(registry, make):
    def fail_half_way():
        with registry.write() as tx:
            models.put(tx, make.model())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert registry.revision() == 0
    with registry.read() as tx:
        assert models.page(tx).items == ()


def test_a_revision_counts_transactions_that_change_something(registry, make):
    with registry.write() as tx:
        models.put(tx, make.model("a-1b"))
        models.put(tx, make.model("b-1b"))
        variants.register(tx, make.variant(model_id="a-1b"))
    assert registry.revision() == 1
    with registry.write() as tx:
        pass
    assert registry.revision() == 1
    with registry.write() as tx:
        variants.register(tx, make.variant("int4", "a-1b"))
    assert registry.revision() == 2


def test_readers_cannot_write(registry):
    with pytest.raises(PlannerError), registry.read() as tx:
        tx.connection.execute(insert(Blobs).values(sha256="0" * 64, size=1))


def test_a_reader_sees_one_moment(registry, make):
    with registry.read() as reader:
        assert reader.revision() == 0
        with registry.write() as tx:
            models.put(tx, make.model())
        assert models.page(reader).items == ()
        assert reader.revision() == 0
    with registry.read() as reader:
        assert len(models.page(reader).items) == 1


def test_broken_references_conflict(registry, make):
    row = {**variants.row(make.variant()), "source": "x", "revision": 1}
    with pytest.raises(Conflict), registry.write() as tx:
        tx.connection.execute(insert(Variants).values(row))


def test_failing_statements_are_unavailable(registry):
    with pytest.raises(Unavailable), registry.write() as tx:
        tx.connection.execute(text("SELECT * FROM no_such_table"))


def test_a_registry_survives_being_closed_and_opened_again(registry, database_url, make):
    with registry.write() as tx:
        models.put(tx, make.model())
    registry.close()
    assert registry.revision() == 1
    with open_registry(database_url) as again, again.read() as tx:
        assert models.get(tx, "tiny-1b") == make.model()


def test_times_come_back_in_utc(stocked, make):
    from datetime import UTC, timedelta, timezone

    from sqlalchemy import select

    there = make.now.astimezone(timezone(timedelta(hours=8)))
    with stocked.write() as tx:
        variants.register(tx, make.variant("int4", created_at=there))
        times = tx.connection.execute(select(Variants.created_at)).scalars().all()
    assert all(time == make.now and time.tzinfo is UTC for time in times)
