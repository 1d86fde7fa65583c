"""Shared fixtures: registries on fresh databases, a SQLite file and a real PostgreSQL server.

The server is started from Debian's binaries when a test first needs it. It refuses to run as root, so it then runs as the
`postgres` user. Without binaries the PostgreSQL tests are skipped; PLANNER_REQUIRE_SERVICES=1 makes that a failure.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from planner.registry import Registry, open_registry
from planner.registry.engine import Engines, connect
from planner.registry.tables import Base

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")

DATABASES = [
    pytest.param("sqlite", id="sqlite"),
    pytest.param("postgresql", id="postgresql", marks=pytest.mark.postgresql),
]


def _postgresql_binary(name: str) -> Path | None:
    """Return a PostgreSQL program: Debian keeps the server's outside PATH, the newest version sorts last."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3])
    )
    found = shutil.which(name)
    return versions[-1] if versions else Path(found) if found else None


class PostgreSQLServer:
    """A throw-away server on a free loopback port, that dies with the test session."""

    USER = "planner"

    def __init__(self, initdb: Path, postgres: Path, folder: Path) -> None:
        self._postgres, self._folder, self._data = postgres, folder, folder / "data"
        self._password = secrets.token_hex(16)
        self._as: dict[str, Any] = {"cwd": folder, "env": {"PATH": os.defpath, "LC_ALL": "C"}}
        if os.geteuid() == 0:
            self._as |= {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(folder, "postgres", "postgres")
        secret = folder / "password"
        secret.write_text(self._password)
        secret.chmod(0o644)  # its folder is private
        options = ["--auth=password", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            [initdb, "-D", self._data, "-U", self.USER, *options], check=True, capture_output=True, **self._as
        )
        self.port = 0
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        for _ in range(3):
            with socket.socket() as probe:  # another process may take the port in between: then try the next
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            settings = {
                "listen_addresses": "127.0.0.1",
                "unix_socket_directories": "",
                "fsync": "off",
                "synchronous_commit": "off",
                "full_page_writes": "off",
                "max_connections": "120",
            }
            arguments = [f"--{key}={value}" for key, value in settings.items()]
            with (self._folder / "log").open("wb") as log:
                process = subprocess.Popen(
                    [self._postgres, "-D", self._data, "-p", str(self.port), *arguments],
                    stdout=log,
                    stderr=log,
                    **self._as,
                )
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                if self._accepts():
                    return process
                time.sleep(0.05)
            process.kill()
            process.wait()
        pytest.fail(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text()}")

    def _accepts(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def url(self, database: str) -> str:
        return f"postgresql://{self.USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def stop(self) -> None:
        self._process.send_signal(signal.SIGQUIT)  # at once: nothing is worth a checkpoint
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQLServer]:
    """A running PostgreSQL server."""
    initdb, postgres = _postgresql_binary("initdb"), _postgresql_binary("postgres")
    if initdb is None or postgres is None:
        message = "PostgreSQL's `initdb` and `postgres` are not installed"
        if os.environ.get("PLANNER_REQUIRE_SERVICES") == "1":
            pytest.fail(message)
        pytest.skip(message)
    folder = Path(tempfile.mkdtemp(prefix="planner-postgresql-"))
    try:
        server = PostgreSQLServer(initdb, postgres, folder)
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    open_registry(f"sqlite:///{file}").close()
    return file


@pytest.fixture(scope="session")
def postgresql_database(postgresql_server: PostgreSQLServer) -> str:
    """URL of a migrated PostgreSQL database that each test leaves empty: far quicker than one database per test."""
    postgresql_server.execute("CREATE DATABASE registry")
    url = postgresql_server.url("registry")
    open_registry(url).close()
    return url


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> str:
    """Which database the test runs on: "sqlite" or "postgresql"."""
    name: str = request.param
    return name


@pytest.fixture
def empty_url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database."""
    if database == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: PostgreSQLServer = request.getfixturevalue("postgresql_server")
    name = f"test_{secrets.token_hex(6)}"
    server.execute(f"CREATE DATABASE {name}")
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a migrated database that nothing else uses."""
    if database == "sqlite":
        file = tmp_path / "planner.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), file)
        yield f"sqlite:///{file}"
        return
    url: str = request.getfixturevalue("postgresql_database")
    yield url
    import psycopg

    emptied = [f"DELETE FROM {table.name}" for table in reversed(Base.metadata.sorted_tables)]
    refilled = "INSERT INTO counters (name, value) VALUES ('revision', 0), ('lease', 0)"
    with psycopg.connect(url) as connection:
        connection.execute("; ".join([*emptied, refilled]).encode())


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engines]:
    """Engines on an empty database."""
    engines = connect(empty_url)
    yield engines
    engines.dispose()


@pytest.fixture
def registry(database_url: str) -> Iterator[Registry]:
    """An empty registry, on each database in turn."""
    with open_registry(database_url) as registry:
        yield registry
