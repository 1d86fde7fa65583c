"""Entry point of `worker`: the verbs with their one-line help, loaded lazily, and the one place errors become exit codes."""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final

import rich_click as click

from planner import __version__
from planner.errors import PlannerError

VERBS: Final = {
    "run": ("worker.commands.run:command", "Work off a server's jobs, or one job from a file"),
    "build": ("worker.commands.build:command", "Build a variant of a model by a recipe"),
    "measure": ("worker.commands.measure:command", "Measure latency and memory of a variant"),
    "evaluate": ("worker.commands.evaluate:command", "Evaluate what a variant loses against its baseline"),
    "submit": ("worker.commands.submit:command", "Hand results made without a server in to one"),
    "recipes": ("worker.commands.recipes:command", "List recipes and their settings"),
    "demo": ("worker.commands.demo:command", "Build, measure and evaluate variants of the reference model"),
    "train-reference": ("worker.reference.command:train_command", "Train the reference model"),
    "freeze-evaluation": ("worker.reference.command:freeze_command", "Freeze the reference evaluation text"),
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
        return click.RichCommand(name=cmd_name, help=VERBS[cmd_name][1]) if cmd_name in VERBS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the real command; an unknown verb is click's usage error with its suggestions."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        if name is None or stand_in is None:
            return name, stand_in, rest
        module, _, attribute = VERBS[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return name, command, rest


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Builds variants of language models, measures them and judges what they lose, on this machine.",
)
@click.version_option(__version__, prog_name="worker")
def cli() -> None:
    """Group of all verbs."""


def _report(error: PlannerError, *, as_json: bool) -> None:
    if as_json:
        import msgspec

        document: dict[str, Any] = {"error": {"code": error.code, "message": error.message, **error.details}}
        sys.stderr.write(msgspec.json.encode(document, enc_hook=str).decode() + "\n")
        return
    sys.stderr.write(f"error[{error.code}]: {error.message}\n")
    tail = getattr(error, "log_tail", None)
    if tail:
        sys.stderr.write(
            "end of the job's log:\n" + "".join(f"  {line}\n" for line in tail.splitlines()[-15:])
        )


def main(arguments: list[str] | None = None) -> int:
    """Run `worker` and return its exit code: 0 done, 1 our failure or a failed job, 2 usage."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        result = cli.main(args=arguments, prog_name="worker", standalone_mode=False)
    except PlannerError as error:
        _report(error, as_json="--json" in arguments)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("stopped\n")
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in {
            "torch",
            "transformers",
            "torchao",
            "safetensors",
            "psutil",
        }:
            sys.stderr.write(
                f"error[missing-extra]: {error.name} is not installed; install it with: "
                "pip install 'variant-planner[worker]'\n"
            )
            return 1
        raise
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main())
