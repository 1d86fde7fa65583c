"""The frame of a command-line program: verbs that load when they run, and the one place errors become exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import rich_click as click
from rich.cells import cell_len

from planner.errors import PlannerError

INTERRUPTED: Final = 130
LOG_LINES: Final = 15


class Verb(msgspec.Struct, frozen=True):
    """Where a verb's click command is, as "module:attribute", and its one line of help."""

    command: str
    help: str


class LazyGroup(click.RichGroup):
    """Lists the verbs without importing them; a verb's module is loaded when it runs."""

    def __init__(self, *args: Any, verbs: Mapping[str, Verb], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order they were given in."""
        del ctx
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a stand-in with the one-line help: enough for the listing."""
        del ctx
        verb = self._verbs.get(cmd_name)
        return click.RichCommand(name=cmd_name, help=verb.help) if verb else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the real command; an unknown verb is click's usage error with its suggestions."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        if name is None or stand_in is None:
            return name, stand_in, rest
        module, _, attribute = self._verbs[name].command.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return name, command, rest


def program(name: str, *, version: str, about: str, verbs: Mapping[str, Verb]) -> click.Group:
    """Return the group of all verbs of the program called `name`."""

    @click.group(
        cls=LazyGroup,
        verbs=verbs,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
        help=about,
    )
    # click's decorators are generic over parameter types that pyright cannot solve; mypy can
    @click.version_option(version, prog_name=name)  # pyright: ignore[reportUnknownMemberType]
    def group() -> None:
        pass

    return group


def run(group: click.Group, name: str, arguments: list[str]) -> int:
    """Run a program and return its exit status: 0, the status of the error, 2 for usage, 130 when interrupted."""
    try:
        result = group.main(arguments, prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except PlannerError as error:
        _report(error, as_json="--json" in arguments)
        return error.exit_code
    except BrokenPipeError:
        # The reader (`| head`) has gone: not an error of ours, and nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0


def _report(error: PlannerError, *, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = {"error": {"code": error.code, "message": error.message, **error.details}}
        sys.stderr.write(msgspec.json.encode(document, enc_hook=str).decode() + "\n")
        return
    sys.stderr.write(f"error[{error.code}]: {error.message}\n")
    query, position = error.details.get("query"), error.details.get("position")
    if isinstance(query, str) and isinstance(position, int):
        length = max(1, int(error.details.get("length", 1)))
        before, marked = cell_len(query[:position]), cell_len(query[position : position + length])
        sys.stderr.write(f"  {query}\n  {' ' * before}{'^' * max(1, marked)}\n")
    log = error.details.get("log_tail")
    if isinstance(log, str):
        # A job's log ends with the message again.
        lines = log.removesuffix(f"error: {error.message}").splitlines()[-LOG_LINES:]
        if lines:
            sys.stderr.write("end of the log:\n" + "".join(f"  {line}\n" for line in lines))
