"""What every verb shares: where the answer is computed, how it is printed, and which options choose that."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import rich_click as click
from rich.console import Console

from planner.errors import InvalidInput
from planner.settings import Settings, load_settings
from planner.wire.service import Service

Verb = TypeVar("Verb", bound=Callable[..., Any])


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one run: a server to ask, or a data folder to work in, and the form of the output."""

    server: str | None
    data_dir: Path | None
    json: bool

    def settings(self, *, port: int | None = None, prices: Path | None = None) -> Settings:
        """Return the settings of the environment with this run's options applied."""
        return load_settings(os.environ, data_dir=self.data_dir, port=port, prices=prices)

    @contextmanager
    def service(self, *, prices: Path | None = None) -> Generator[Service]:
        """Yield the use cases: over HTTP with `--server`, else in this process, with `prices`. Raises InvalidInput."""
        if self.server is not None and prices is not None:
            raise InvalidInput(
                "--prices", "is the server's to read", allowed="`planner up --prices FILE`, or no --server"
            )
        service: Service
        if self.server is not None:
            from planner.client import Client

            service = Client(self.server)
        else:
            from planner.workspace import Workspace

            service = Workspace(self.settings(prices=prices))
        try:
            yield service
        finally:
            service.close()

    def print_json(self, value: object) -> None:
        """Write `value` as one JSON document."""
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
        sys.stdout.flush()  # `up` goes on running: whoever reads its pipe must get the URL now


WIDTH_OFF_TERMINAL: Final = "160"
"""Columns of text that goes to a file or pipe, unless COLUMNS says otherwise."""


def console(*, stderr: bool = False) -> Console:
    """Return a console as wide as the terminal, or, where there is none, as COLUMNS says."""
    made = Console(stderr=stderr, highlight=False)
    if made.is_terminal:
        return made
    columns = os.environ.get("COLUMNS", WIDTH_OFF_TERMINAL)
    return Console(stderr=stderr, highlight=False, width=int(columns) if columns.isdecimal() else None)


_SERVER = click.option(
    "--server", metavar="URL", envvar="PLANNER_SERVER", show_envvar=True, help="Ask this server instead."
)
_DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Data folder to work in, without a server.  [env: PLANNER_DATA_DIR]",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")


def prices_option(verb: Verb) -> Verb:
    """Add `--prices` to a command, whose function takes `prices`."""
    option = click.option(
        "--prices",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Price file (TOML): what an hour of each device costs.  [env: PLANNER_PRICES]",
    )
    result: Verb = option(verb)
    return result


def session_options(verb: Verb) -> Verb:
    """Add `--server`, `--data-dir` and `--json` to a command, whose function takes `session`."""
    return _with_session(verb, _JSON, _DATA_DIR, _SERVER)


def local_session_options(verb: Verb) -> Verb:
    """Add `--data-dir` and `--json` to a command that only makes sense on this machine."""
    return _with_session(verb, _JSON, _DATA_DIR)


def _with_session(verb: Verb, *options: Callable[[Any], Any]) -> Verb:
    @functools.wraps(verb)
    def wrapped(
        *args: Any, data_dir: Path | None, as_json: bool, server: str | None = None, **rest: Any
    ) -> Any:
        return verb(*args, session=Session(server=server, data_dir=data_dir, json=as_json), **rest)

    decorated: Any = wrapped
    for option in options:
        decorated = option(decorated)
    result: Verb = decorated
    return result


def page_options(verb: Verb) -> Verb:
    """Add `--limit` and `--cursor` to a listing."""
    decorated: Any = verb
    for option in (
        click.option("--cursor", help="Continue after the page that gave this cursor."),
        click.option(
            "--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="Rows of a page."
        ),
    ):
        decorated = option(decorated)
    result: Verb = decorated
    return result
