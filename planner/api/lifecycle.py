"""Lifecycle of variants: their states, set with a reason and kept with their history.

A state's address is `/states/` and any name of the variant: such a name may hold slashes, so nothing can follow it.
"""

from __future__ import annotations

from typing import Annotated

from litestar import Router, get, put
from litestar.params import JSONBody, QueryParameter

from planner.api.parameters import Cursor, Limit, Name, ServiceParameter, StatePage
from planner.domain.lifecycle import LifecycleState, StateHistory, VariantState
from planner.wire.lifecycle import SetState
from planner.wire.page import DEFAULT_LIMIT


@get(
    "/states",
    operation_id="listStates",
    summary="List variants that were put in a state",
    sync_to_thread=True,
)
def list_states(
    service: ServiceParameter,
    variant_state: Annotated[
        LifecycleState | None, QueryParameter(name="state", description="Only those in this state now.")
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> StatePage:
    """Return a page of states, by variant."""
    return service.states(state=variant_state, limit=limit, cursor=cursor)


@get(
    "/states/{name:path}",
    operation_id="getState",
    summary="Return the state of a variant and every one before it",
    sync_to_thread=True,
)
def get_state(service: ServiceParameter, name: Name) -> StateHistory:
    """Return the state of the variant with this id, unique prefix of it, name, `model/name` or alias."""
    return service.state(name.strip("/"))


@put(
    "/states/{name:path}",
    operation_id="setState",
    summary="Deprecate, yank, quarantine or reinstate a variant, with a reason",
    sync_to_thread=True,
)
def set_state(service: ServiceParameter, name: Name, data: JSONBody[SetState]) -> VariantState:
    """Put a variant in a state; 409 when that may not follow the present one."""
    return service.set_state(name.strip("/"), data)


router = Router("/", route_handlers=[list_states, get_state, set_state], tags=["Lifecycle"])
