"""Failures of a PostgreSQL server reach the user as errors of the project, and the pool recovers."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text

from planner.errors import Conflict, InvalidInput, Unavailable
from planner.registry import aliases, models, open_registry, variants
from planner.registry.driver_errors import translated

pytestmark = pytest.mark.postgresql


@pytest.fixture
def database():
    return "postgresql"


def test_a_lost_connection_is_unavailable_and_the_next_one_works(registry, make):
    def lose_it_half_way():
        with registry.write() as tx:
            pid = tx.connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with registry.write() as other:
                other.connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            models.put(tx, make.model())

    with pytest.raises(Unavailable):
        lose_it_half_way()
    with registry.write() as tx:
        assert models.put(tx, make.model())


def test_connections_that_died_in_the_pool_are_replaced(registry):
    assert registry.revision() == 0
    with registry.write() as tx:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        tx.connection.execute(text(others + " AND datname = current_database()"))
    assert registry.revision() == 0


def test_a_statement_that_takes_too_long_is_unavailable(registry):
    with registry.read() as tx:
        tx.connection.execute(text("SET LOCAL statement_timeout = 20"))
        with pytest.raises(Unavailable, match="statement timeout"), translated():
            tx.connection.execute(text("SELECT pg_sleep(5)"))


def test_a_deadlock_is_a_conflict(stocked, make):
    with stocked.write() as tx:
        ids = [variants.register(tx, make.variant(f"v{n}"))[0].id for n in range(2)]
        for name in ("a", "b"):
            aliases.move(tx, name, ids[0], expected=None, actor="ci", now=make.now)
    both = threading.Barrier(2)
    outcomes: list[object] = []

    def lock(first: str, second: str) -> None:
        row = text("SELECT name FROM aliases WHERE name = :name FOR UPDATE")
        try:
            with stocked.write() as tx, translated():
                tx.connection.execute(row, {"name": first})
                both.wait(10)
                tx.connection.execute(row, {"name": second})
            outcomes.append(None)
        except Conflict as error:
            outcomes.append(error.message)

    threads = [threading.Thread(target=lock, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes, key=str) == [None, "another change came in between; try again"]


def test_values_the_database_refuses_are_invalid(registry):
    with pytest.raises(InvalidInput), registry.read() as tx:
        tx.connection.execute(text("SELECT CAST('x' AS INTEGER)"))


def test_other_ways_to_write_the_url(database_url):
    plain = database_url.removeprefix("postgresql://")
    for url in (
        f"postgres://{plain}",
        f"postgresql+psycopg://{plain}?application_name=mine&options=-c%20statement_timeout%3D5s",
    ):
        with open_registry(url) as registry, registry.read() as tx:
            timeout = tx.connection.execute(text("SHOW statement_timeout")).scalar_one()
            zone = tx.connection.execute(text("SHOW timezone")).scalar_one()
        assert (timeout, zone) == ("5s" if "options" in url else "1min", "UTC")


def test_a_url_that_cannot_be_read():
    with pytest.raises(InvalidInput, match="database_url"):
        open_registry("postgresql://host:port/name")
