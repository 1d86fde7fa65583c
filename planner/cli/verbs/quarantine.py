"""`planner quarantine`: hand a variant out no more."""

from __future__ import annotations

from planner.cli.state_setting import state_verb
from planner.domain.lifecycle import LifecycleState

command = state_verb(
    "quarantine",
    LifecycleState.QUARANTINED,
    "Hand VARIANT out no more: it is not recommended, and every fetch is refused with the reason.",
)
