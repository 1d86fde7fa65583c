"""What crosses HTTP about the lifecycle of variants, and its use cases."""

from __future__ import annotations

from typing import Protocol

import msgspec

from planner.domain.lifecycle import LifecycleState, StateHistory, VariantState
from planner.domain.listing import Page
from planner.wire.page import DEFAULT_LIMIT


class SetState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Put a variant in a state. `replacement` is the variant to use instead, by any of its names.

    With `expected` only when it is in that state now.
    """

    state: LifecycleState
    reason: str
    replacement: str | None = None
    actor: str | None = None
    """Who says so; a server that asks for tokens writes down whose token it was."""
    expected: LifecycleState | None = None


class Lifecycle(Protocol):
    """The states of variants."""

    def set_state(self, variant: str, change: SetState) -> VariantState:
        """Put a variant in a state and return it; the one it is in, for the same reason, changes nothing.

        Raises NotFound, InvalidInput, and Conflict when the state may not follow the present one.
        """
        ...

    def state(self, variant: str) -> StateHistory:
        """Return the state of a variant, and every one before it. Raises NotFound."""
        ...

    def states(
        self,
        *,
        state: LifecycleState | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[VariantState]:
        """Return the present states of variants that were ever put in one, those in `state` where it is given, by variant."""
        ...
