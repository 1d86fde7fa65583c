"""The client's part about the lifecycle of variants: the methods of `planner.wire.lifecycle.Lifecycle`, each one call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

import msgspec

from planner.client.calls import PREFIX, Call, segment
from planner.domain.lifecycle import LifecycleState, StateHistory, VariantState
from planner.domain.listing import Page
from planner.wire.lifecycle import SetState
from planner.wire.page import DEFAULT_LIMIT

T = TypeVar("T")


class Lifecycle(ABC):
    """Implements `planner.wire.lifecycle.Lifecycle` over HTTP."""

    @abstractmethod
    def send(self, call: Call[T]) -> T:
        """Send `call` and return its answer."""

    def set_state(self, variant: str, change: SetState) -> VariantState:
        """Put a variant in a state. Not retried with `expected`: the first try may have done it."""
        call: Call[VariantState] = Call(
            method="PUT",
            path=_path(variant),
            answer=VariantState,
            parameters={},
            body=msgspec.json.encode(change),
            repeatable=change.expected is None,
        )
        return self.send(call)

    def state(self, variant: str) -> StateHistory:
        """Return the state of a variant, and every one before it."""
        call: Call[StateHistory] = Call(method="GET", path=_path(variant), answer=StateHistory, parameters={})
        return self.send(call)

    def states(
        self,
        *,
        state: LifecycleState | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[VariantState]:
        """Return the states that somebody has set, by variant."""
        parameters = {"limit": str(limit)}
        if state is not None:
            parameters["state"] = state.value
        if cursor is not None:
            parameters["cursor"] = cursor
        call: Call[Page[VariantState]] = Call(
            method="GET", path=f"{PREFIX}/states", answer=Page[VariantState], parameters=parameters
        )
        return self.send(call)


def _path(variant: str) -> str:
    return f"{PREFIX}/states/{segment('variant', variant, slashes=True)}"
