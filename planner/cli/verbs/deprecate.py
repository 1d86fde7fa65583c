"""`planner deprecate`: advise against a variant."""

from __future__ import annotations

from planner.cli.state_setting import state_verb
from planner.domain.lifecycle import LifecycleState

command = state_verb(
    "deprecate",
    LifecycleState.DEPRECATED,
    "Advise against VARIANT: it is recommended only when no other satisfies a question, and fetched with a warning.",
)
