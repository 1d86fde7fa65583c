"""Aliases: names that move between variants, with their history."""

from __future__ import annotations

from litestar import Router, get, put
from litestar.params import JSONBody

from planner.api.parameters import AliasPage, Cursor, Limit, Name, ServiceParameter
from planner.domain.alias import Alias
from planner.wire.page import DEFAULT_LIMIT
from planner.wire.requests import MoveAlias
from planner.wire.rows import AliasHistory


@get("/aliases", operation_id="listAliases", summary="List aliases", sync_to_thread=True)
def list_aliases(service: ServiceParameter, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> AliasPage:
    """Return a page of aliases, by name."""
    return service.aliases(limit=limit, cursor=cursor)


@get(
    "/aliases/{name:str}",
    operation_id="getAlias",
    summary="Return an alias and its history",
    sync_to_thread=True,
)
def get_alias(service: ServiceParameter, name: Name) -> AliasHistory:
    """Return an alias with every move it made."""
    return service.alias(name)


@put(
    "/aliases/{name:str}",
    operation_id="moveAlias",
    summary="Point an alias at a variant, by compare-and-swap when `expected` is given",
    sync_to_thread=True,
)
def move_alias(service: ServiceParameter, name: Name, data: JSONBody[MoveAlias]) -> Alias:
    """Move an alias; 409 when it does not point at `expected`."""
    return service.move_alias(name, data.variant, expected=data.expected, actor=data.actor)


router = Router("/", route_handlers=[list_aliases, get_alias, move_alias], tags=["Aliases"])
