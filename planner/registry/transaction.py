"""Transactions: every use of the registry is one explicit unit of work, for reading or for writing.

Services take a transaction and never commit; the block that opened it does, or rolls back when it is left by an
exception. All writers of rows that plans depend on take turns at the revision counter, so that revisions become visible
in their own order and "the registry as of revision N" has one meaning. A transaction that also writes other rows does
the plan-relevant ones first, so that two of them never wait for each other.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

from sqlalchemy import Connection, literal, select, update

from planner.registry.driver_errors import translated
from planner.registry.engine import Engines, insert_or_ignore
from planner.registry.tables import Base, Counters

REVISION: Final = "revision"
LEASE: Final = "lease"


class Transaction:
    """What reading and writing have in common: a connection inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def revision(self) -> int:
        """Return the revision that this transaction sees; 0 for an empty registry."""
        statement = select(Counters.value).where(Counters.name == REVISION)
        return self.connection.execute(statement).scalar_one()


class ReadTransaction(Transaction):
    """A view of one moment of the registry."""


class WriteTransaction(Transaction):
    """A unit of change: all of it happens, or none."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._next_revision: int | None = None
        self._changed = False

    def lock_revision(self) -> int:
        """Return the revision that rows written by this transaction carry; other such writers wait from here on."""
        if self._next_revision is None:
            statement = select(Counters.value).where(Counters.name == REVISION).with_for_update()
            self._next_revision = self.connection.execute(statement).scalar_one() + 1
        return self._next_revision

    def record_change(self) -> None:
        """Note that rows plans depend on have changed, so that the revision is raised, once, at the end."""
        self._changed = True

    def next_token(self) -> int:
        """Return a fencing token greater than every one before it."""
        statement = (
            update(Counters)
            .where(Counters.name == LEASE)
            .values(value=Counters.value + 1)
            .returning(Counters.value)
        )
        return self.connection.execute(statement).scalar_one()

    def insert_new(self, table: type[Base], row: dict[str, Any]) -> bool:
        """Insert `row` and return True, or return False when its key is already taken."""
        statement = insert_or_ignore(self.connection, table).values(row).returning(literal(1))
        return self.connection.execute(statement).first() is not None

    def finish(self) -> None:
        """Raise the revision if anything that plans depend on has changed. Called once, before the commit."""
        if self._changed:
            self.connection.execute(
                update(Counters).where(Counters.name == REVISION).values(value=self.lock_revision())
            )


class Registry:
    """The registry of one database. Thread-safe; transactions are not shared between threads."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    @contextmanager
    def read(self) -> Generator[ReadTransaction, None, None]:
        """Open a transaction that only reads. Raises Unavailable."""
        with translated(), self._engines.reader.connect() as connection, connection.begin():
            yield ReadTransaction(connection)

    @contextmanager
    def write(self) -> Generator[WriteTransaction, None, None]:
        """Open a transaction that is committed when the block ends well. Raises Conflict and Unavailable."""
        with translated(), self._engines.writer.begin() as connection:
            transaction = WriteTransaction(connection)
            yield transaction
            transaction.finish()

    def revision(self) -> int:
        """Return the current revision: it grows whenever an answer could change."""
        with self.read() as tx:
            return tx.revision()

    def close(self) -> None:
        """Close every connection. The registry can be used again, which opens new ones."""
        self._engines.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
