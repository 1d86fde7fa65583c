"""Aliases: move from one variant to another by compare-and-swap, and keep every move."""

from __future__ import annotations

import re
from datetime import datetime
from enum import Enum
from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, func, insert, select, update

from planner.domain.alias import Alias, AliasAt, AliasMove
from planner.domain.listing import Page
from planner.domain.webhook import EventKind
from planner.errors import Conflict, InvalidInput, NotFound
from planner.registry import events, lifecycle, variant_lookup
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
NO_ALIAS: Final = "none"
"""What is written in place of a variant where no alias is expected, and so the name of none."""
_DIGEST: Final = re.compile(rf"[0-9a-f]{{{variant_lookup.MIN_PREFIX},}}")
_ALIASES: Final = select(
    Aliases.name, Aliases.variant_id, Aliases.number, Aliases.actor, Aliases.moved_at, Aliases.protected
)
_MOVES: Final = select(
    AliasMoves.name,
    AliasMoves.number,
    AliasMoves.variant_id,
    AliasMoves.previous_variant_id,
    AliasMoves.actor,
    AliasMoves.moved_at,
)


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

    Moving it to where it points already changes nothing. Raises Conflict with the variant it really points at, and for a
    variant that is not recommended any more; NotFound for an unknown variant; InvalidInput, also for a protected alias
    that is moved wherever it points.
    """
    _check_name(name)
    check_name("actor", actor)
    check_time("now", now)
    if isinstance(expected, str):
        check_id("expected", expected)
    tx.lock_revision()  # no retention policy deletes the variant meanwhile
    variant_lookup.require(tx, variant_id)
    before = _find(tx, name, lock=True)
    if before is None or before.variant_id != variant_id:
        _check_recommended(tx, name, variant_id)
    if before is not None and before.protected and expected is ANY:
        raise InvalidInput(
            "expected",
            f"is not given, and `{name}` is protected",
            allowed=f"the variant it is to be moved from, now `{before.variant_id}`",
        )
    if before is None and expected in {None, ANY}:
        number = _last_number(tx, name) + 1
        alias = Alias(name=name, variant_id=variant_id, number=number, actor=actor, moved_at=now)
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
    alias = Alias(
        name=name,
        variant_id=variant_id,
        number=before.number + 1,
        actor=actor,
        moved_at=now,
        protected=before.protected,
    )
    tx.connection.execute(update(Aliases).where(Aliases.name == name).values(_row(alias)))
    _keep(tx, alias, previous=previous)
    return alias


def protect(tx: WriteTransaction, name: str, *, protected: bool) -> Alias:
    """Say that the alias moves only by compare-and-swap and is not deleted, or that it is free. Raises NotFound."""
    alias = msgspec.structs.replace(get(tx, name), protected=protected)
    tx.connection.execute(update(Aliases).where(Aliases.name == name).values(protected=protected))
    return alias


def roll_back(
    tx: WriteTransaction, name: str, *, actor: str, now: datetime, expected: str | None = None
) -> Alias:
    """Move the alias to where it pointed before its last move, so that doing it twice changes nothing in the end.

    Raises NotFound, and Conflict when it was only created, points elsewhere than `expected`, or may not point there again.
    """
    alias = get(tx, name)
    last = tx.connection.execute(
        select(AliasMoves.previous_variant_id).where(
            AliasMoves.name == name, AliasMoves.number == alias.number
        )
    ).scalar_one()
    if last is None:
        raise Conflict(f"alias `{name}` has pointed at `{alias.variant_id}` since it was created", alias=name)
    return move(tx, name, last, expected=expected or alias.variant_id, actor=actor, now=now)


def remove(
    tx: WriteTransaction, name: str, *, actor: str, now: datetime, expected: str | None = None
) -> AliasMove:
    """Delete the alias, keep its history, and return the move that ended it.

    Raises NotFound, and Conflict when it is protected or points elsewhere than `expected`.
    """
    check_name("actor", actor)
    check_time("now", now)
    get(tx, name)
    alias = _find(tx, name, lock=True)
    if alias is None:
        raise Conflict(f"alias `{name}` was deleted meanwhile", alias=name)
    if alias.protected:
        raise Conflict(f"alias `{name}` is protected and is not deleted", alias=name)
    if expected is not None and expected != alias.variant_id:
        raise Conflict(
            f"alias `{name}` points at `{alias.variant_id}`, it was expected at `{expected}`",
            alias=name,
            current=alias.variant_id,
            expected=expected,
        )
    ended = AliasMove(
        name=name,
        number=alias.number + 1,
        variant_id=None,
        previous_variant_id=alias.variant_id,
        actor=actor,
        moved_at=now,
    )
    tx.connection.execute(delete(Aliases).where(Aliases.name == name))
    _record(tx, ended)
    return ended


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
    statement = _ALIASES
    if variant_id is not None:
        statement = statement.where(Aliases.variant_id == check_id("variant_id", variant_id))
    keyset = Keyset(Aliases.name, Aliases.name, type_=str, scope=("aliases", variant_id))
    return fetch(tx, statement, keyset, _alias, limit=limit, cursor=cursor)


def history(
    tx: Transaction, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[AliasMove]:
    """Return the moves of the alias, the newest first, also of a deleted one. Raises NotFound and InvalidInput."""
    if not _last_number(tx, check_name("alias", name)):
        get(tx, name)
    statement = _MOVES.where(AliasMoves.name == name)
    keyset = Keyset(
        AliasMoves.number, AliasMoves.name, type_=int, scope=("alias-moves", name), descending=True
    )
    return fetch(tx, statement, keyset, _move, limit=limit, cursor=cursor)


def at(tx: Transaction, name: str, moment: datetime) -> AliasAt:
    """Return where the alias pointed at a moment. Raises NotFound for a name that never was one, InvalidInput."""
    check_time("at", moment)
    if not _last_number(tx, check_name("alias", name)):
        get(tx, name)
    statement = (
        _MOVES.where(AliasMoves.name == name, AliasMoves.moved_at <= moment)
        .order_by(AliasMoves.number.desc())
        .limit(1)
    )
    row = tx.connection.execute(statement).one_or_none()
    moved = None if row is None else _move(row)
    there = None if moved is None or moved.variant_id is None else moved
    return AliasAt(name=name, at=moment, variant_id=there.variant_id if there else None, move=there)


def _check_recommended(tx: Transaction, name: str, variant_id: str) -> None:
    state = lifecycle.get(tx, variant_id)
    if not state.state.is_recommended:
        raise Conflict(
            f"alias `{name}` cannot point at `{variant_id}`, which is {state.describe()}",
            alias=name,
            state=state.state.value,
            reason=state.reason,
        )


def _last_number(tx: Transaction, name: str) -> int:
    statement = select(func.max(AliasMoves.number)).where(AliasMoves.name == name)
    return tx.connection.execute(statement).scalar_one() or 0


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None or _DIGEST.fullmatch(name) or name == NO_ALIAS:
        raise InvalidInput(
            "alias",
            f"{name[:80]!r} is not allowed",
            allowed="1 to 100 of a-z, 0-9 and . _ -, not like a digest, and not `none`, which says that there is no alias",
        )


def _find(tx: Transaction, name: str, *, lock: bool) -> Alias | None:
    statement = _ALIASES.where(Aliases.name == name)
    row = tx.connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    return None if row is None else _alias(row)


def _alias(row: Row[str, str, int, str, datetime, bool]) -> Alias:
    return Alias(
        name=row.name,
        variant_id=row.variant_id,
        number=row.number,
        actor=row.actor,
        moved_at=row.moved_at,
        protected=row.protected,
    )


def _move(row: Row[str, int, str | None, str | None, str, datetime]) -> AliasMove:
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
        "protected": alias.protected,
    }


def _keep(tx: WriteTransaction, alias: Alias, *, previous: str | None) -> None:
    moved = AliasMove(
        name=alias.name,
        number=alias.number,
        variant_id=alias.variant_id,
        previous_variant_id=previous,
        actor=alias.actor,
        moved_at=alias.moved_at,
    )
    _record(tx, moved)


def _record(tx: WriteTransaction, moved: AliasMove) -> None:
    """Keep a move, and tell of it; the variant of the one that deletes an alias is null."""
    tx.connection.execute(
        insert(AliasMoves).values({name: getattr(moved, name) for name in moved.__struct_fields__})
    )
    happened = {
        "alias": moved.name,
        "variant": moved.variant_id,
        "previous_variant": moved.previous_variant_id,
        "number": moved.number,
        "actor": moved.actor,
    }
    events.emit(tx, EventKind.ALIAS_MOVED, happened)
