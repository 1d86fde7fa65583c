"""`planner reinstate`: make a variant active again."""

from __future__ import annotations

from planner.cli.state_setting import state_verb
from planner.domain.lifecycle import LifecycleState

command = state_verb(
    "reinstate",
    LifecycleState.ACTIVE,
    "Make VARIANT active again. One that was deleted comes back when its files are registered again.",
    replaced=False,
)
