"""Entry point of `planner`: its verbs, each with one line of help.

Exit status: 0 answered, 1 our failure, 2 usage, 3 infeasible, 4 evidence missing; `check` adds 5 and 6.
"""

from __future__ import annotations

import sys
from typing import Final

from planner import __version__
from planner.command_line import Verb, program, run

_HELP: Final = {
    "up": "Start registry, API and dashboard on loopback",
    "recommend": 'Ask in words: "13B on 24GB, ≤1% loss"',
    "why": "Explain how one variant fares in a question",
    "why-not": "Say what keeps a variant from being the answer, and what would help",
    "compare": "Put variants, or the answers of plans, side by side",
    "sweep": "Answer a question while one of its bounds moves over a range",
    "fleet": "Assign a pool of devices to several models and workloads",
    "training": "Say whether a model can be trained on some hardware, and how",
    "lock": "Pin a plan's answer to a lock file for git and CI",
    "check": "Judge a lock again: still feasible, better exists, stale, infeasible, gone",
    "deploy": "Print serve commands, a Compose file or Kubernetes manifests",
    "models": "List base models",
    "variants": "List and filter variants",
    "devices": "List devices",
    "presets": "List scenario presets",
    "show": "Show one model, variant, device, preset or plan in full",
    "claims": "Judge popular claims about quantization by the evidence held",
    "validate": "Score the estimates of memory and speed on held-out evidence",
    "jobs": "List, queue, follow and cancel work for workers; list workers",
    "register": "Register a folder of files as a variant",
    "gate": "Judge a build by a policy before it is promoted: pass, fail or inconclusive",
    "import": "Register results of other tools, judged by lints",
    "submit": "Register results that a worker made offline",
    "fetch": "Download a variant, every hash checked",
    "webhook": "Tell addresses of what happens; list, test and replay deliveries",
    "sign": "Sign a variant's manifest with a key that stays here",
    "token": "Make, list and revoke tokens for a server that asks for them",
    "alias": "Point names such as prod at variants; their history, rollback and protection",
    "state": "Show the state of a variant and its history",
    "deprecate": "Advise against a variant",
    "yank": "Recommend a variant no more; it is still fetched by name",
    "quarantine": "Hand a variant out no more",
    "reinstate": "Make a variant active again",
    "pin": "Keep a variant's files whatever a retention policy says",
    "unpin": "Take a pin away",
    "pins": "List what is pinned",
    "retention": "Show or apply a retention policy",
    "gc": "Remove stored files that nothing needs",
    "downloads": "List what Hugging Face clients were served: to whom, when and why",
    "demo": "Build, measure and choose variants of the reference model",
}
_MODULES: Final = {"import": "imports"}
"""Verbs whose name cannot be a module's."""
VERBS: Final = {
    name: Verb(f"planner.cli.verbs.{_MODULES.get(name, name.replace('-', '_'))}:command", text)
    for name, text in _HELP.items()
}
ABOUT: Final = (
    "Variant Planner: which build of a language model to run on the hardware you have, and on what evidence."
)

cli = program("planner", version=__version__, about=ABOUT, verbs=VERBS)


def main(arguments: list[str] | None = None) -> int:
    """Run `planner` and return its exit status."""
    return run(cli, "planner", sys.argv[1:] if arguments is None else arguments)
