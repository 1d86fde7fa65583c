"""Aliases: names that move between variants, with their history."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from litestar import Router, delete, get, post, put
from litestar.params import JSONBody, QueryParameter

from planner.api.parameters import MAX_TEXT, AliasMovePage, AliasPage, Cursor, Limit, Name, ServiceParameter
from planner.domain.alias import Alias, AliasAt, AliasMove
from planner.wire.aliasing import ProtectAlias, RollbackAlias
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


@get(
    "/aliases/{name:str}/moves",
    operation_id="listAliasMoves",
    summary="List the moves of an alias, newest first",
    sync_to_thread=True,
)
def list_alias_moves(
    service: ServiceParameter, name: Name, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> AliasMovePage:
    """Return a page of moves, also of a deleted alias."""
    return service.alias_moves(name, limit=limit, cursor=cursor)


@get(
    "/aliases/{name:str}/history",
    operation_id="getAliasAt",
    summary="Return where an alias pointed at a moment",
    sync_to_thread=True,
)
def get_alias_at(
    service: ServiceParameter,
    name: Name,
    at: Annotated[
        datetime, QueryParameter(description="The moment, with its time zone: 2026-11-01T00:00:00Z.")
    ],
) -> AliasAt:
    """Return what the alias was at that time, also of a deleted one."""
    return service.alias_at(name, at)


@put(
    "/aliases/{name:str}",
    operation_id="moveAlias",
    summary="Point an alias at a variant, by compare-and-swap when `expected` is given",
    sync_to_thread=True,
)
def move_alias(service: ServiceParameter, name: Name, data: JSONBody[MoveAlias]) -> Alias:
    """Move an alias; 409 when it does not point at `expected`, or the variant is not recommended any more."""
    return service.move_alias(name, data.variant, expected=data.expected, actor=data.actor)


@put(
    "/aliases/{name:str}/protection",
    operation_id="protectAlias",
    summary="Let an alias move only by compare-and-swap and not be deleted, or free it",
    sync_to_thread=True,
)
def protect_alias(service: ServiceParameter, name: Name, data: JSONBody[ProtectAlias]) -> Alias:
    """Protect an alias, or free it."""
    return service.protect_alias(name, protected=data.protected)


@post(
    "/aliases/{name:str}/rollback",
    operation_id="rollbackAlias",
    summary="Move an alias back to where it pointed before its last move",
    status_code=200,
    sync_to_thread=True,
)
def rollback_alias(service: ServiceParameter, name: Name, data: JSONBody[RollbackAlias]) -> Alias:
    """Move an alias back; 409 when there was no move before, or that variant is not recommended any more."""
    return service.rollback_alias(name, expected=data.expected, actor=data.actor)


@delete(
    "/aliases/{name:str}",
    operation_id="deleteAlias",
    summary="Delete an alias; its history is kept",
    status_code=200,
    sync_to_thread=True,
)
def delete_alias(
    service: ServiceParameter,
    name: Name,
    expected: Annotated[
        str | None, QueryParameter(max_length=MAX_TEXT, description="Only if it points at this variant.")
    ] = None,
    actor: Annotated[str | None, QueryParameter(max_length=MAX_TEXT)] = None,
) -> AliasMove:
    """Delete an alias and return the move that ended it; 409 for a protected one."""
    return service.delete_alias(name, expected=expected, actor=actor)


router = Router(
    "/",
    route_handlers=[
        list_aliases,
        get_alias,
        list_alias_moves,
        get_alias_at,
        move_alias,
        protect_alias,
        rollback_alias,
        delete_alias,
    ],
    tags=["Aliases"],
)
