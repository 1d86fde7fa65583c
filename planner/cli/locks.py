"""What the verbs about locks share: a plan from a question or an id, and a lock from a file."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from planner.deploy.lock import Lock
from planner.deploy.lock_text import read_lock
from planner.deploy.locking import under_runtime
from planner.domain.outcome import Plan
from planner.errors import InvalidInput
from planner.wire.service import Service

_PLAN_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def plan_for(service: Service, words: tuple[str, ...], *, runtime: str | None) -> Plan:
    """Return the stored plan with the id given in `words`, or the answer to the question they are.

    A `runtime` becomes part of the question, so that only variants which load under it are chosen. Raises InvalidInput.
    """
    text = " ".join(words).strip()
    if not text:
        raise InvalidInput(
            "QUESTION",
            "give a question, a plan's id or --lock",
            allowed='for example "13B on 24GB, ≤1% loss"',
        )
    if _PLAN_ID.fullmatch(text):
        return service.plan(text)
    if runtime is None:
        return service.recommend(query=text)
    scenario = service.understand(text).scenario
    wanted = under_runtime(scenario, runtime)
    if wanted == scenario:
        return service.recommend(query=text)
    return service.recommend(scenario=wanted)


def load_lock(path: Path) -> Lock:
    """Return the lock in the file at `path`, or on standard input for "-". Raises InvalidFile naming the field."""
    if str(path) == "-":
        return read_lock(sys.stdin.read(), source="standard input")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(str(path), "is not UTF-8", allowed="what `planner lock` writes") from error
    except OSError as error:
        raise InvalidInput(str(path), f"cannot be read: {error.strerror}", allowed="a lock file") from error
    return read_lock(text, source=str(path))
