"""Examples of the structs that serving, pushing and telling are about, for the tests of every struct of the domain."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from planner.domain import ignoring, trusted_publisher
from planner.domain.identity import (
    Principal,
    RegistrationRecord,
    SignatureRecord,
    Token,
    TokenOrigin,
    TokenScope,
)
from planner.domain.reference import Reference, ReferenceKind
from planner.domain.trusted_publisher import Issuer, TrustedIssuers
from planner.domain.upload import AddFile, Delete, PushedCommit, PushedRef, PushedRepository
from planner.domain.variant import Artifact
from planner.domain.webhook import Delivery, DeliveryState, Event, EventKind, Outcome, Webhook

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ORIGIN = TokenOrigin(
    issuer="https://issuer.example", subject="repo:a/b", ref="main", claims={"event": "push"}
)
SCOPES = (TokenScope.READ, TokenScope.REGISTER)
RULE = trusted_publisher.Rule(claims={"repository": "a/b", "protected": True}, resources=("a/*",))
ISSUER = Issuer(issuer="https://issuer.example", audience=("https://registry.example",), rules=(RULE,))

EXAMPLES: tuple[msgspec.Struct, ...] = (
    ORIGIN,
    Principal(name="ci", token_id="t", scopes=frozenset(SCOPES), resources=("a/*",), origin=ORIGIN),
    Token(
        id="t", label="ci", shown="hf_abcde", scopes=SCOPES, created_at=NOW, created_by="me", origin=ORIGIN
    ),
    RegistrationRecord(
        variant_id="v", token_id="t", actor="ci", registered_at=NOW, created=True, origin=ORIGIN
    ),
    SignatureRecord(variant_id="v", sha256="a" * 64, size=3, key=None, actor="ci", signed_at=NOW),
    ignoring.Rule(parts=("**", "*.tmp"), folders_only=False, negated=True),
    Reference(kind=ReferenceKind.S3, place="bucket", rest="prefix"),
    RULE,
    ISSUER,
    TrustedIssuers(issuers=(ISSUER,)),
    trusted_publisher.Grant(scopes=SCOPES, resources=("a/b",), lifetime_seconds=900),
    PushedRepository(id="a/b", created_at=NOW, modified_at=NOW),
    PushedCommit(
        id="c" * 40, parent=None, tree="d" * 64, summary="s", description="", author="me", created_at=NOW
    ),
    PushedRef(name="main", is_tag=False, commit_id="c" * 40),
    AddFile(artifact=Artifact(path="config.json", size=2, sha256="e" * 64)),
    Delete(path="old", folder=True),
    Event(id="e", kind=EventKind.ALIAS_MOVED, at=NOW, data={"name": "prod", "number": 2}),
    Webhook(id="w", url="https://example.org/hook", events=(EventKind.GATE_FAILED,), created_at=NOW),
    Delivery(
        webhook_id="w",
        event_id="e",
        kind=EventKind.GATE_FAILED,
        state=DeliveryState.PENDING,
        attempts=1,
        next_at=NOW,
        status=503,
        problem=None,
        delivered_at=None,
    ),
    Outcome(status=200),
)
