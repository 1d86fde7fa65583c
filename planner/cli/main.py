"""Entry point of `planner`: the verbs with their one-line help, loaded lazily, and the one place errors become exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, Final

import rich_click as click

from planner import __version__
from planner.errors import PlannerError

VERBS: Final = {
    "up": "Start registry, API and dashboard on loopback",
    "recommend": 'Ask in words: "13B on 24GB, ≤1% loss"',
    "why": "Explain how one variant fares in a question",
    "models": "List base models",
    "variants": "List and filter variants",
    "devices": "List devices",
    "presets": "List scenario presets",
    "show": "Show one model, variant, device, preset or plan in full",
    "jobs": "List, show, queue and cancel work for workers",
    "register": "Register a folder of files as a variant",
    "submit": "Register results that a worker made offline",
    "fetch": "Download a variant, every hash checked",
    "demo": "Build, measure and choose variants of the reference model",
}


class LazyGroup(click.RichGroup):
    """Lists the verbs without importing them; a verb's module is loaded when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of `VERBS`."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a stand-in with the one-line help: enough for the listing."""
        del ctx
        return click.RichCommand(name=cmd_name, help=VERBS[cmd_name]) if cmd_name in VERBS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the real command; an unknown verb is click's usage error with its suggestions."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        if name is None or stand_in is None:
            return name, stand_in, rest
        command: click.Command = importlib.import_module(f"planner.cli.verbs.{name}").command
        return name, command, rest


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Variant Planner: which build of a language model to run on the hardware you have, and on what evidence.",
)
@click.version_option(__version__, prog_name="planner")
def cli() -> None:
    """Group of all verbs."""


def _report(error: PlannerError, *, as_json: bool) -> None:
    if as_json:
        import msgspec

        document: dict[str, Any] = {"error": {"code": error.code, "message": error.message, **error.details}}
        sys.stderr.write(msgspec.json.encode(document, enc_hook=str).decode() + "\n")
        return
    sys.stderr.write(f"error[{error.code}]: {error.message}\n")
    query, position = error.details.get("query"), error.details.get("position")
    if isinstance(query, str) and isinstance(position, int):
        length = max(1, int(error.details.get("length", 1)))
        sys.stderr.write(f"  {query}\n  {' ' * position}{'^' * length}\n")


def main(arguments: list[str] | None = None) -> int:
    """Run `planner` and return its exit code: 0 answered, 1 our failure, 2 usage, 3 infeasible, 4 evidence missing."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        result = cli.main(arguments, prog_name="planner", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        sys.stderr.write("aborted\n")
        return 130
    except PlannerError as error:
        _report(error, as_json="--json" in arguments)
        return error.exit_code
    except BrokenPipeError:
        # The reader (`| head`) has gone: not an error of ours, and nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0
