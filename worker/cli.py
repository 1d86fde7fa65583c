"""Entry point of `worker`: its verbs, each with one line of help.

Exit status: 0 done, 1 our failure or a failed job, 2 usage.
"""

from __future__ import annotations

import sys
from typing import Final

from planner import __version__
from planner.command_line import Verb, program, run

VERBS: Final = {
    "run": Verb("worker.commands.run:command", "Work off a server's jobs, or one job from a file"),
    "build": Verb("worker.commands.build:command", "Build a variant of a model by a recipe"),
    "measure": Verb("worker.commands.measure:command", "Measure latency and memory of a variant"),
    "evaluate": Verb(
        "worker.commands.evaluate:command", "Evaluate what a variant loses against its baseline"
    ),
    "campaign": Verb(
        "worker.commands.campaign:command", "Run a file of measurements within a time budget, and bundle them"
    ),
    "submit": Verb("worker.commands.submit:command", "Hand results made without a server in to one"),
    "recipes": Verb("worker.commands.recipes:command", "List recipes and their settings"),
    "demo": Verb(
        "worker.commands.demo:command", "Build, measure and evaluate variants of the reference model"
    ),
    "train-reference": Verb("worker.reference.command:train_command", "Train the reference model"),
    "freeze-tasks": Verb("worker.reference.command:tasks_command", "Freeze the reference tasks"),
    "freeze-evaluation": Verb(
        "worker.reference.command:freeze_command", "Freeze the reference evaluation text"
    ),
}
ABOUT: Final = "Builds variants of language models, measures them and judges what they lose, on this machine."
LIBRARIES: Final = frozenset({"torch", "transformers", "torchao", "safetensors", "tokenizers", "psutil"})

cli = program("worker", version=__version__, about=ABOUT, verbs=VERBS)


def main(arguments: list[str] | None = None) -> int:
    """Run `worker` and return its exit status."""
    try:
        return run(cli, "worker", sys.argv[1:] if arguments is None else arguments)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in LIBRARIES:
            raise
        sys.stderr.write(
            f"error[missing-extra]: {error.name} is not installed; install it with: "
            "pip install 'variant-planner[worker]'\n"
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
