"""`planner yank`: recommend a variant no more."""

from __future__ import annotations

from planner.cli.state_setting import state_verb
from planner.domain.lifecycle import LifecycleState

command = state_verb(
    "yank",
    LifecycleState.YANKED,
    "Recommend VARIANT no more: whoever names it still gets it, with a warning. Aliases are not pointed at it.",
)
