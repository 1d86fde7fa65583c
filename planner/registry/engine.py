"""Engines: the two databases meet only here.

Each registry has a reader and a writer. On SQLite they are two pools over one file in WAL mode: readers cannot write
and never wait; the writer is a single connection that begins with BEGIN IMMEDIATE, because a transaction that reads
first and asks for the write lock later cannot be saved by any timeout. On PostgreSQL they share one pool; readers run
REPEATABLE READ READ ONLY, so that a snapshot of many tables is one moment.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import URL, Connection, Engine, Insert, create_engine, event, exc, make_url, text
from sqlalchemy.dialects import postgresql, sqlite

from planner.errors import InvalidInput, Unavailable
from planner.registry.tables import Base

BUSY_SECONDS: Final = 30
"""How long a writer waits for another one."""
POOL_SIZE: Final = 8
POOL_OVERFLOW: Final = 24
STATEMENT_SECONDS: Final = 60
"""How long one statement may run on PostgreSQL."""

_ALLOWED: Final = "sqlite:///path/to/file.db or postgresql://user@host/name"
_LOCK_KEY: Final = (
    0x706C616E  # "plan"; any number that other users of the database's advisory locks do not take
)


class Engines(NamedTuple):
    """Where transactions that read and transactions that write get their connections."""

    reader: Engine
    writer: Engine

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.reader.dispose()
        self.writer.dispose()


def connect(url: str) -> Engines:
    """Return engines for `url`, creating the folder of a SQLite file. Raises InvalidInput and Unavailable."""
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        return _sqlite(url)
    if scheme in {"postgres", "postgresql", "postgresql+psycopg"}:
        return _postgresql(url)
    raise InvalidInput("database_url", f"`{scheme or url[:40]}` is not supported", allowed=_ALLOWED)


def insert_or_ignore(connection: Connection, table: type[Base]) -> Insert:
    """Return an INSERT into `table` that does nothing where a row with the same key is already there."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def lock_schema(connection: Connection) -> None:
    """Let no other process change the schema until this transaction ends. SQLite's writer already holds its lock."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})


def _sqlite(url: str) -> Engines:
    path = url.removeprefix("sqlite:///")
    if path == url or path in {"", ":memory:"} or "\x00" in path:
        raise InvalidInput("database_url", f"`{url[:200]}` names no file", allowed=_ALLOWED)
    file = Path(path).expanduser().absolute()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"cannot create the folder {file.parent}: {error.strerror}") from error
    address = URL.create("sqlite+pysqlite", database=str(file))
    arguments: dict[str, Any] = {
        "connect_args": {"timeout": BUSY_SECONDS, "isolation_level": None, "check_same_thread": False},
        "hide_parameters": True,
    }
    reader = create_engine(address, pool_size=POOL_SIZE, max_overflow=POOL_OVERFLOW, **arguments)
    writer = create_engine(address, pool_size=1, max_overflow=0, pool_timeout=BUSY_SECONDS, **arguments)
    _on_connect(reader, "PRAGMA foreign_keys = ON", "PRAGMA query_only = ON")
    _on_connect(writer, "PRAGMA foreign_keys = ON", "PRAGMA synchronous = FULL")
    _on_begin(reader, "BEGIN")
    _on_begin(writer, "BEGIN IMMEDIATE")
    _use_write_ahead_log(address)
    return Engines(reader, writer)


def _on_connect(engine: Engine, *pragmas: str) -> None:
    def configure(connection: Any, record: object) -> None:
        del record
        for pragma in pragmas:
            connection.execute(pragma)

    event.listen(engine, "connect", configure)


def _on_begin(engine: Engine, statement: str) -> None:
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    event.listen(engine, "begin", begin)


def _use_write_ahead_log(address: URL) -> None:
    """Switch the file to WAL, which it remembers. SQLite does not wait when two processes do so at once, so we do."""
    engine = create_engine(address, connect_args={"timeout": BUSY_SECONDS, "isolation_level": None})
    deadline = time.monotonic() + BUSY_SECONDS
    try:
        while True:
            try:
                with engine.connect() as connection:
                    connection.exec_driver_sql("PRAGMA journal_mode = WAL")
                    return
            except exc.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise Unavailable(f"cannot open the registry {address.database}: {error.orig}") from error
                time.sleep(0.02)
            except exc.DatabaseError as error:
                raise Unavailable(f"{address.database} is not a registry: {error.orig}") from error
    finally:
        engine.dispose()


def _postgresql(url: str) -> Engines:
    try:
        address = make_url(url).set(drivername="postgresql+psycopg")
    except (exc.ArgumentError, ValueError) as error:
        raise InvalidInput("database_url", "cannot be read", allowed=_ALLOWED) from error
    asked = address.query.get("options", "")
    options = (
        f"-c timezone=UTC -c statement_timeout={STATEMENT_SECONDS * 1000}"
        f" -c lock_timeout={BUSY_SECONDS * 1000} -c idle_in_transaction_session_timeout=300000"
        f" {asked if isinstance(asked, str) else ' '.join(asked)}"
    )
    try:
        writer = create_engine(
            address,
            connect_args={
                "connect_timeout": 10,
                "client_encoding": "utf8",
                "application_name": "variant-planner",
                "options": options,
            },
            hide_parameters=True,
            pool_size=POOL_SIZE,
            max_overflow=POOL_OVERFLOW,
            pool_timeout=BUSY_SECONDS,
            pool_pre_ping=True,
        )
    except ModuleNotFoundError as error:
        raise Unavailable("PostgreSQL needs a driver: pip install 'variant-planner[postgresql]'") from error
    reader = writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return Engines(reader, writer)
