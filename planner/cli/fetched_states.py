"""What the state of a variant means for those who fetch it: nothing, a warning, or a refusal."""

from __future__ import annotations

from planner.domain.lifecycle import LifecycleState
from planner.errors import NotFound, Withheld
from planner.wire.service import Service


def check_handed_out(service: Service, variant_id: str, name: str) -> str | None:
    """Return what to warn of before the variant's files are fetched, None when there is nothing.

    A lock may name a variant that this registry does not know, and so has no state of. Raises Withheld with the reason.
    """
    try:
        state = service.state(variant_id).current
    except NotFound:
        return None
    if state.state is LifecycleState.ACTIVE:
        return None
    words = f"{name} is {state.describe()}"
    if not state.state.is_handed_out:
        raise Withheld(
            words,
            variant=variant_id,
            state=state.state.value,
            reason=state.reason,
            replacement=state.replacement_id,
        )
    return words
