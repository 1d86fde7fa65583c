"""What goes wrong in a database reaches the user as an error of the project."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import exc, insert, text, update

from planner.errors import Conflict, InvalidInput, Unavailable
from planner.registry import engine, models, open_registry
from planner.registry.driver_errors import translate
from planner.registry.tables import Blobs, Jobs


def test_a_locked_file_is_unavailable_and_readers_go_on(tmp_path, monkeypatch, make):
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.1)
    file = tmp_path / "planner.db"
    with open_registry(f"sqlite:///{file}") as registry:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"), registry.write() as tx:
            models.put(tx, make.model())
        assert registry.revision() == 0
        other.execute("ROLLBACK")
        other.close()
        with registry.write() as tx:
            assert models.put(tx, make.model())


def test_a_writer_inside_a_writer_is_refused_not_deadlocked(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.1)

    def write_inside(registry):
        with registry.write(), registry.write():
            pass

    registry = open_registry(f"sqlite:///{tmp_path / 'planner.db'}")
    with pytest.raises(Unavailable, match="busy"):
        write_inside(registry)
    registry.close()


def test_a_damaged_file_is_unavailable(tmp_path, make):
    file = tmp_path / "planner.db"
    with open_registry(f"sqlite:///{file}") as registry, registry.write() as tx:
        for n in range(50):
            models.put(tx, make.model(f"m-{n}b"))
    data = bytearray(file.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    file.write_bytes(data)
    with pytest.raises(Unavailable), open_registry(f"sqlite:///{file}") as registry, registry.read() as tx:
        models.page(tx)


def test_parameters_never_reach_a_message(registry, make):
    with pytest.raises(Conflict) as caught, registry.write() as tx:
        tx.connection.execute(insert(Blobs), [{"sha256": "k" * 64, "size": 123454321}] * 2)
    assert "123454321" not in str(caught.value.__cause__)


def test_what_another_version_wrote_is_named(registry, make):
    with registry.write() as tx:
        models.put(tx, make.model())
        tx.connection.execute(text('UPDATE models SET document = \'{"id": "tiny-1b"}\''))
    with (
        registry.read() as tx,
        pytest.raises(Unavailable, match="holds a Model that this version cannot read"),
    ):
        models.get(tx, "tiny-1b")


def test_errors_of_our_own_pass_through_the_driver(registry, make):
    with pytest.raises(InvalidInput, match="no time zone"), registry.write() as tx:
        tx.connection.execute(update(Jobs).values(lease_expires_at=make.now.replace(tzinfo=None)))


def test_an_error_without_a_driver_behind_it_is_unavailable():
    assert isinstance(translate(exc.InvalidRequestError("closed")), Unavailable)
