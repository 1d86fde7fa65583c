"""Tokens: found by the hash of their secret, never by the secret; and who registered and signed what with them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import delete, insert, select, update

from planner.domain.identity import RegistrationRecord, SignatureRecord, Token
from planner.domain.listing import Page
from planner.errors import InvalidInput, NotFound
from planner.registry.checks import DEFAULT_LIMIT, check_document, check_id, check_name, check_time
from planner.registry.identity_tables import Registrations, Signatures, Tokens
from planner.registry.nearest import shortened
from planner.registry.pages import Keyset, fetch
from planner.registry.transaction import Transaction, WriteTransaction

KEPT: Final = timedelta(days=7)
"""How long the token of a pipeline is listed after it has expired; what it registered keeps its origin for ever."""
MAX_SIGNATURES: Final = 100
"""Most signatures of one variant."""


def add(tx: WriteTransaction, token: Token, *, digest: str) -> None:
    """Store a new token under the hash of its secret. Raises InvalidInput."""
    check_id("token.id", token.id)
    check_name("label", token.label)
    check_name("created_by", token.created_by)
    check_time("created_at", token.created_at)
    check_document("token", token)
    if token.origin is not None:
        gone = token.created_at - KEPT
        tx.connection.execute(delete(Tokens).where(Tokens.keyless, Tokens.expires_at < gone))
    tx.connection.execute(
        insert(Tokens).values(
            {
                "id": token.id,
                "digest": digest,
                "created_at": token.created_at,
                "expires_at": token.expires_at,
                "keyless": token.origin is not None,
                "document": token,
            }
        )
    )


def by_digest(tx: Transaction, digest: str) -> Token | None:
    """Return the token whose secret has this hash."""
    return tx.connection.execute(select(Tokens.document).where(Tokens.digest == digest)).scalar_one_or_none()


def get(tx: Transaction, name: str) -> Token:
    """Return the token with this id, label or shown beginning. Raises NotFound, InvalidInput when several have it."""
    check_name("token", name)
    found = tx.connection.execute(select(Tokens.document).where(Tokens.id == name)).scalar_one_or_none()
    if found is not None:
        return found
    every = tx.connection.execute(select(Tokens.document).order_by(Tokens.created_at)).scalars()
    named = [token for token in every if name in {token.label, token.shown}]
    working = [token for token in named if token.revoked_at is None] or named
    if not working:
        raise NotFound("token", shortened(name))
    if len(working) > 1:
        raise InvalidInput(
            "token",
            f"`{shortened(name)}` is the name of {len(working)} tokens",
            allowed=", ".join(token.id for token in working[:5]),
        )
    return working[0]


def revoke(tx: WriteTransaction, name: str, *, now: datetime) -> tuple[Token, str]:
    """End a token for good and return it with the hash of its secret; one that was ended stays as it is.

    Raises NotFound, InvalidInput.
    """
    token = get(tx, name)
    locked = select(Tokens.document, Tokens.digest).where(Tokens.id == token.id).with_for_update()
    row = tx.connection.execute(locked).one()
    token, digest = row.document, row.digest
    if token.revoked_at is None:
        token = msgspec.structs.replace(token, revoked_at=check_time("now", now))
        _store(tx, token)
    return token, digest


def used(tx: WriteTransaction, id_: str, *, now: datetime) -> None:
    """Note that a token was used."""
    locked = select(Tokens.document).where(Tokens.id == id_).with_for_update()
    token = tx.connection.execute(locked).scalar_one_or_none()
    if token is not None:
        _store(tx, msgspec.structs.replace(token, last_used_at=now))


def page(tx: Transaction, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Token]:
    """Return tokens, the newest first. Raises InvalidInput."""
    keyset = Keyset(Tokens.created_at, Tokens.id, type_=datetime, scope=("tokens",), descending=True)
    return fetch(tx, select(Tokens.document), keyset, lambda row: row[0], limit=limit, cursor=cursor)


def record_registration(tx: WriteTransaction, record: RegistrationRecord) -> bool:
    """Note who handed in a variant's bytes; return False when that was known of this token. Raises InvalidInput."""
    check_id("variant_id", record.variant_id)
    check_document("registration", record)
    return tx.insert_new(
        Registrations,
        {
            "variant_id": record.variant_id,
            "token_id": record.token_id,
            "registered_at": record.registered_at,
            "document": record,
        },
    )


def registrations(
    tx: Transaction, *, variant_id: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[RegistrationRecord]:
    """Return who registered what, the newest first. Raises InvalidInput."""
    statement = select(Registrations.document)
    if variant_id is not None:
        statement = statement.where(Registrations.variant_id == variant_id)
    keyset = Keyset(
        Registrations.registered_at,
        Registrations.token_id,
        type_=datetime,
        scope=("registrations", variant_id),
        descending=True,
    )
    return fetch(tx, statement, keyset, lambda row: row[0], limit=limit, cursor=cursor)


def add_signature(tx: WriteTransaction, record: SignatureRecord) -> bool:
    """Keep a signature; return False when this very bundle was kept before. Raises InvalidInput."""
    check_document("signature", record)
    if len(signatures(tx, record.variant_id)) >= MAX_SIGNATURES:
        raise InvalidInput("signature", "is one too many", allowed=f"{MAX_SIGNATURES} of a variant")
    return tx.insert_new(
        Signatures,
        {
            "variant_id": record.variant_id,
            "sha256": record.sha256,
            "signed_at": record.signed_at,
            "document": record,
        },
    )


def signatures(tx: Transaction, variant_id: str) -> Sequence[SignatureRecord]:
    """Return a variant's signatures, the newest first."""
    statement = (
        select(Signatures.document)
        .where(Signatures.variant_id == variant_id)
        .order_by(Signatures.signed_at.desc(), Signatures.sha256)
    )
    return tx.connection.execute(statement).scalars().all()


def _store(tx: WriteTransaction, token: Token) -> None:
    tx.connection.execute(update(Tokens).where(Tokens.id == token.id).values(document=token))
