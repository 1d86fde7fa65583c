"""The client's part about aliases over time: the methods of `planner.wire.aliasing.Aliasing`, each one call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from planner.client.calls import PREFIX, Call, segment
from planner.domain.alias import Alias, AliasAt, AliasMove
from planner.domain.listing import Page
from planner.wire.aliasing import ProtectAlias, RollbackAlias
from planner.wire.page import DEFAULT_LIMIT

T = TypeVar("T")


class Aliasing(ABC):
    """Implements `planner.wire.aliasing.Aliasing` over HTTP."""

    @abstractmethod
    def send(self, call: Call[T]) -> T:
        """Send `call` and return its answer."""

    def alias_moves(
        self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[AliasMove]:
        """Return the moves of an alias, newest first, also of a deleted one."""
        parameters = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        return self.send(_call("GET", name, "/moves", Page[AliasMove], parameters=parameters))

    def alias_at(self, name: str, at: datetime) -> AliasAt:
        """Return where an alias pointed at a moment."""
        return self.send(_call("GET", name, "/history", AliasAt, parameters={"at": at.isoformat()}))

    def protect_alias(self, name: str, *, protected: bool = True) -> Alias:
        """Say that an alias moves only by compare-and-swap and is not deleted, or that it is free again."""
        return self.send(_call("PUT", name, "/protection", Alias, body=ProtectAlias(protected=protected)))

    def rollback_alias(self, name: str, *, expected: str | None = None, actor: str | None = None) -> Alias:
        """Move an alias back. Not retried: the first try may have done it, and a second one would undo it."""
        body = RollbackAlias(expected=expected, actor=actor)
        return self.send(_call("POST", name, "/rollback", Alias, body=body, repeatable=False))

    def delete_alias(self, name: str, *, expected: str | None = None, actor: str | None = None) -> AliasMove:
        """Delete an alias. Not retried: a second try would not find it."""
        given = {"expected": expected, "actor": actor}
        parameters = {key: value for key, value in given.items() if value is not None}
        return self.send(_call("DELETE", name, "", AliasMove, parameters=parameters, repeatable=False))


def _call(
    method: str,
    name: str,
    below: str,
    answer: type[T],
    *,
    parameters: Mapping[str, str] | None = None,
    body: Any = None,
    repeatable: bool = True,
) -> Call[T]:
    return Call(
        method=method,
        path=f"{PREFIX}/aliases/{segment('alias', name)}{below}",
        answer=answer,
        parameters=parameters or {},
        body=None if body is None else msgspec.json.encode(body),
        repeatable=repeatable,
    )
