from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

import pytest

from planner.domain.identity import (
    RegistrationRecord,
    SignatureRecord,
    Token,
    TokenOrigin,
    TokenScope,
    token_digest,
)
from planner.errors import InvalidInput, NotFound
from planner.registry import Registry, tokens

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ORIGIN = TokenOrigin(
    issuer="https://issuer.example", subject="repo:acme/models", repository="acme/models", sha="a" * 40
)


def token(number: int = 1, *, label: str = "ci", at: datetime = NOW, **fields) -> tuple[Token, str]:
    secret = "hf_" + secrets.token_hex(20)
    made = Token(
        id=f"token-{number}",
        label=label,
        shown=secret[:8],
        scopes=(TokenScope.READ, TokenScope.REGISTER),
        created_at=at,
        created_by="local",
        **fields,
    )
    return made, secret


def add(registry: Registry, made: Token, secret: str) -> None:
    with registry.write() as tx:
        tokens.add(tx, made, digest=token_digest(secret))


def test_a_token_is_found_by_its_hash_alone(registry):
    made, secret = token(origin=ORIGIN, resources=("llama/*",), expires_at=NOW)
    add(registry, made, secret)
    with registry.read() as tx:
        assert tokens.by_digest(tx, token_digest(secret)) == made
        assert tokens.by_digest(tx, token_digest(secret + "x")) is None
        assert tokens.by_digest(tx, secret) is None


def test_secrets_are_nowhere_in_the_database(registry):
    made, secret = token()
    add(registry, made, secret)
    from sqlalchemy import text

    with registry.read() as tx:
        row = tx.connection.execute(text("SELECT * FROM tokens")).one()
    assert secret not in repr(row)
    assert secret[12:] not in repr(row)


def test_revoked_tokens_stay_revoked(registry):
    made, secret = token()
    add(registry, made, secret)
    with registry.write() as tx:
        first, digest = tokens.revoke(tx, made.shown, now=NOW)
        again, _ = tokens.revoke(tx, made.id, now=NOW + timedelta(days=1))
    assert digest == token_digest(secret)
    assert first == again
    assert first.revoked_at == NOW
    with registry.read() as tx:
        found = tokens.by_digest(tx, digest)
    assert found is not None
    assert found.revoked_at == NOW


def test_the_use_of_a_token_is_noted_and_keeps_a_revocation(registry):
    made, secret = token()
    add(registry, made, secret)
    with registry.write() as tx:
        tokens.revoke(tx, "ci", now=NOW)
        tokens.used(tx, made.id, now=NOW + timedelta(minutes=1))
        tokens.used(tx, "unknown", now=NOW)
    with registry.read() as tx:
        found = tokens.get(tx, made.id)
    assert (found.revoked_at, found.last_used_at) == (NOW, NOW + timedelta(minutes=1))


def test_names_of_tokens(registry):
    for number in (1, 2):
        add(registry, *token(number, label="ci"))
    add(registry, *token(3, label="worker"))
    with registry.write() as tx:
        assert tokens.get(tx, "worker").id == "token-3"
        with pytest.raises(InvalidInput, match="2 tokens"):
            tokens.get(tx, "ci")
        with pytest.raises(NotFound):
            tokens.get(tx, "nobody")
        tokens.revoke(tx, "token-1", now=NOW)
        assert tokens.get(tx, "ci").id == "token-2"  # a working one comes first


def test_pages_are_newest_first(registry):
    for number in range(5):
        add(registry, *token(number, at=NOW + timedelta(seconds=number)))
    with registry.read() as tx:
        first = tokens.page(tx, limit=3)
        rest = tokens.page(tx, limit=3, cursor=first.next_cursor)
    assert [each.id for each in (*first.items, *rest.items)] == [f"token-{n}" for n in (4, 3, 2, 1, 0)]
    assert rest.next_cursor is None


def test_tokens_of_pipelines_are_forgotten_some_days_after_they_expired(registry):
    gone = token(1, at=NOW - timedelta(days=9), expires_at=NOW - timedelta(days=8), origin=ORIGIN)
    lately = token(2, at=NOW, expires_at=NOW - timedelta(days=1), origin=ORIGIN)
    person = token(3, at=NOW - timedelta(days=9), expires_at=NOW - timedelta(days=8))
    for each in (gone, lately, person, token(4, origin=ORIGIN, expires_at=NOW)):
        add(registry, *each)
    with registry.read() as tx:
        assert {each.id for each in tokens.page(tx).items} == {"token-2", "token-3", "token-4"}


def test_who_registered_what_is_kept_once_per_token(registry):
    record = RegistrationRecord(
        variant_id="v", token_id="t", actor="ci", registered_at=NOW, created=True, origin=ORIGIN
    )
    later = RegistrationRecord(
        variant_id="v", token_id="u", actor="me", registered_at=NOW + timedelta(hours=1), created=False
    )
    other = RegistrationRecord(variant_id="w", token_id="u", actor="me", registered_at=NOW, created=True)
    with registry.write() as tx:
        assert tokens.record_registration(tx, record)
        assert not tokens.record_registration(tx, record)
        assert tokens.record_registration(tx, later)
        assert tokens.record_registration(tx, other)
    with registry.read() as tx:
        assert tokens.registrations(tx, variant_id="v").items == (later, record)
        assert len(tokens.registrations(tx).items) == 3


def test_signatures_are_kept_once(registry):
    record = SignatureRecord(variant_id="v", sha256="a" * 64, size=5, key="b" * 64, actor="me", signed_at=NOW)
    with registry.write() as tx:
        assert tokens.add_signature(tx, record)
        assert not tokens.add_signature(tx, record)
    with registry.read() as tx:
        assert tuple(tokens.signatures(tx, "v")) == (record,)
        assert tuple(tokens.signatures(tx, "w")) == ()


def test_signatures_of_a_variant_are_bounded(registry):
    with registry.write() as tx:
        for number in range(tokens.MAX_SIGNATURES):
            tokens.add_signature(
                tx,
                SignatureRecord(
                    variant_id="v", sha256=f"{number:064x}", size=5, key=None, actor="me", signed_at=NOW
                ),
            )
        with pytest.raises(InvalidInput, match="100"):
            tokens.add_signature(
                tx,
                SignatureRecord(variant_id="v", sha256="f" * 64, size=5, key=None, actor="me", signed_at=NOW),
            )
