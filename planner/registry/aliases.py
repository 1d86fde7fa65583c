"""Aliases: move from one variant to another by compare-and-swap, and keep every move."""

from __future__ import annotations

import re
from datetime import datetime
from enum import Enum
from typing import Any, Final

from sqlalchemy import Row, insert, select, update

from planner.domain.alias import Alias, AliasMove
from planner.domain.listing import Page
from planner.domain.webhook import EventKind
from planner.errors import Conflict, InvalidInput, NotFound
from planner.registry import events, variant_lookup
from planner.registry.checks import DEFAULT_LIMIT, check_id, check_name, check_time
from planner.registry.nearest import CANDIDATES, nearest, shortened
from planner.registry.pages import Keyset, fetch
from planner.registry.tables import Aliases, AliasMoves
from planner.registry.transaction import Transaction, WriteTransaction


class Expectation(Enum):
    """What a move may expect besides a variant's id, or None for "no such alias yet"."""

    ANY = "any"


ANY: Final = Expectation.ANY
"""Move the alias wherever it points now."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_DIGEST: Final = re.compile(rf"[0-9a-f]{{{variant_lookup.MIN_PREFIX},}}")


def move(
    tx: WriteTransaction,
    name: str,
    variant_id: str,
    *,
    expected: str | Expectation | None,
    actor: str,
    now: datetime,
) -> Alias:
    """Point the alias at `variant_id` if it points at `expected` now; None expects that it does not exist.

    Moving it to where it points already changes nothing. Raises Conflict with the variant it really points at,
    NotFound for an unknown variant, InvalidInput.
    """
    _check_name(name)
    check_name("actor", actor)
    check_time("now", now)
    if isinstance(expected, str):
        check_id("expected", expected)
    variant_lookup.require(tx, variant_id)
    before = _find(tx, name, lock=True)
    if before is None and expected in {None, ANY}:
        alias = Alias(name=name, variant_id=variant_id, number=1, actor=actor, moved_at=now)
        if tx.insert_new(Aliases, _row(alias)):
            _keep(tx, alias, previous=None)
            return alias
        before = _find(tx, name, lock=True)  # another transaction has created it meanwhile
    previous = before.variant_id if before else None
    if before is None or (expected is not ANY and expected != previous):
        points = f"points at `{previous}`" if previous else "does not exist"
        wanted = f"at `{expected}`" if isinstance(expected, str) else "not to exist"
        raise Conflict(
            f"alias `{name}` {points}, it was expected {wanted}",
            alias=name,
            current=previous,
            expected=expected,
        )
    if previous == variant_id:
        return before
    alias = Alias(name=name, variant_id=variant_id, number=before.number + 1, actor=actor, moved_at=now)
    tx.connection.execute(update(Aliases).where(Aliases.name == name).values(_row(alias)))
    _keep(tx, alias, previous=previous)
    return alias


def get(tx: Transaction, name: str) -> Alias:
    """Return where the alias points. Raises NotFound with the nearest names."""
    alias = _find(tx, check_name("alias", name), lock=False)
    if alias is None:
        names = tx.connection.execute(select(Aliases.name).order_by(Aliases.name).limit(CANDIDATES)).scalars()
        raise NotFound("alias", shortened(name), nearest=nearest(name, names))
    return alias


def page(
    tx: Transaction,
    *,
    variant_id: str | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[Alias]:
    """Return aliases by name, those of one variant where it is given. Raises InvalidInput."""
    statement = select(Aliases.name, Aliases.variant_id, Aliases.number, Aliases.actor, Aliases.moved_at)
    if variant_id is not None:
        statement = statement.where(Aliases.variant_id == check_id("variant_id", variant_id))
    keyset = Keyset(Aliases.name, Aliases.name, type_=str, scope=("aliases", variant_id))
    return fetch(tx, statement, keyset, _alias, limit=limit, cursor=cursor)


def history(
    tx: Transaction, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[AliasMove]:
    """Return the moves of the alias, the newest first. Raises NotFound and InvalidInput."""
    get(tx, name)
    statement = select(
        AliasMoves.name,
        AliasMoves.number,
        AliasMoves.variant_id,
        AliasMoves.previous_variant_id,
        AliasMoves.actor,
        AliasMoves.moved_at,
    ).where(AliasMoves.name == name)
    keyset = Keyset(
        AliasMoves.number, AliasMoves.name, type_=int, scope=("alias-moves", name), descending=True
    )
    return fetch(tx, statement, keyset, _move, limit=limit, cursor=cursor)


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None or _DIGEST.fullmatch(name):
        raise InvalidInput(
            "alias",
            f"{name[:80]!r} is not allowed",
            allowed="1 to 100 of a-z, 0-9 and . _ -, not like a digest",
        )


def _find(tx: Transaction, name: str, *, lock: bool) -> Alias | None:
    statement = select(
        Aliases.name, Aliases.variant_id, Aliases.number, Aliases.actor, Aliases.moved_at
    ).where(Aliases.name == name)
    row = tx.connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    return None if row is None else _alias(row)


def _alias(row: Row[str, str, int, str, datetime]) -> Alias:
    return Alias(
        name=row.name, variant_id=row.variant_id, number=row.number, actor=row.actor, moved_at=row.moved_at
    )


def _move(row: Row[str, int, str, str | None, str, datetime]) -> AliasMove:
    return AliasMove(
        name=row.name,
        number=row.number,
        variant_id=row.variant_id,
        previous_variant_id=row.previous_variant_id,
        actor=row.actor,
        moved_at=row.moved_at,
    )


def _row(alias: Alias) -> dict[str, Any]:
    return {
        "name": alias.name,
        "variant_id": alias.variant_id,
        "number": alias.number,
        "actor": alias.actor,
        "moved_at": alias.moved_at,
    }


def _keep(tx: WriteTransaction, alias: Alias, *, previous: str | None) -> None:
    tx.connection.execute(insert(AliasMoves).values({**_row(alias), "previous_variant_id": previous}))
    happened = {
        "alias": alias.name,
        "variant": alias.variant_id,
        "previous_variant": previous,
        "number": alias.number,
        "actor": alias.actor,
    }
    events.emit(tx, EventKind.ALIAS_MOVED, happened)
