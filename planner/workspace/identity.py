"""Tokens made, checked and revoked; pipelines' identity tokens exchanged; signatures kept."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

from planner.artifacts.bundle import key_of, signed_files
from planner.domain.identity import (
    ALPHABET,
    SECRET_LENGTH,
    SHOWN,
    TOKEN_PREFIX,
    Principal,
    RegistrationRecord,
    SignatureRecord,
    Token,
    TokenOrigin,
    TokenScope,
    TokenState,
    check_resource,
    is_token,
    parse_scopes,
    token_digest,
)
from planner.domain.listing import Page
from planner.domain.trusted_publisher import wanted_scopes
from planner.errors import InvalidInput, PlannerError
from planner.registry import tokens, variants
from planner.wire import acting
from planner.wire.identity import MAX_BUNDLE_BYTES, Exchange, NewToken, TokenRequest
from planner.wire.page import DEFAULT_LIMIT
from planner.workspace.attribution import check_confines
from planner.workspace.files import Files
from planner.workspace.identifiers import new_id
from planner.workspace.known_tokens import KnownTokens

if TYPE_CHECKING:
    from planner.workspace.trusted_publishers import TrustedPublishers

log = logging.getLogger("planner.identity")

LONGEST: Final = 10 * 365 * 24 * 3600
"""Longest life of a token that expires, in seconds."""
NOTED: Final = timedelta(minutes=5)
"""How old the stored time of last use may get before it is written again."""


class Identity(Files):
    """Implements `planner.wire.identity.Identity` and `planner.wire.identity.Authenticating`."""

    @cached_property
    def _known(self) -> KnownTokens:
        return KnownTokens()

    @cached_property
    def publishers(self) -> TrustedPublishers:
        """The issuers of the settings. Raises InvalidInput for a file that cannot be read."""
        # Verifying needs cryptography and an HTTP client, which nothing else that is done in process does.
        from planner.workspace.trusted_publishers import TrustedPublishers  # noqa: PLC0415

        return TrustedPublishers.read(self.settings.oidc)

    def create_token(self, request: TokenRequest) -> NewToken:
        """Make a token; its secret is told this once and not kept. Raises InvalidInput."""
        seconds = request.expires_in_seconds
        if seconds is not None and not 1 <= seconds <= LONGEST:
            raise InvalidInput(
                "expires_in_seconds", f"{seconds} is out of range", allowed=f"1 to {LONGEST}, or null"
            )
        for resource in request.resources:
            check_resource(resource.replace("*", "x"))
        return self._make(
            label=request.label,
            scopes=parse_scopes(request.scopes),
            lifetime=None if seconds is None else timedelta(seconds=seconds),
            resources=request.resources,
            created_by=acting.actor(otherwise="local"),
        )

    def _make(
        self,
        *,
        label: str,
        scopes: tuple[TokenScope, ...],
        lifetime: timedelta | None,
        resources: tuple[str, ...],
        created_by: str,
        origin: TokenOrigin | None = None,
    ) -> NewToken:
        secret = TOKEN_PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH))
        now = self.now()
        token = Token(
            id=new_id(),
            label=label,
            shown=secret[:SHOWN],
            scopes=scopes,
            created_at=now,
            created_by=created_by,
            expires_at=None if lifetime is None else now + lifetime,
            resources=resources,
            origin=origin,
        )
        with self.registry.write() as tx:
            tokens.add(tx, token, digest=token_digest(secret))
        return NewToken(token=token, secret=secret)

    def tokens(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Token]:
        """Return tokens, the newest first."""
        with self.registry.read() as tx:
            return tokens.page(tx, limit=limit, cursor=cursor)

    def revoke_token(self, name: str) -> Token:
        """End a token: at once in this process, within ten seconds in others."""
        with self.registry.write() as tx:
            token, digest = tokens.revoke(tx, name, now=self.now())
        self._known.forget(digest)
        return token

    def authenticate(self, secret: str) -> Principal | None:
        """Return whose token this is; None when it is unknown, expired or revoked."""
        if not is_token(secret):
            return None
        now, digest = self.now(), token_digest(secret)
        known, token = self._known.get(digest)
        if not known:
            with self.registry.read() as tx:
                token = tokens.by_digest(tx, digest)
            self._known.put(digest, token)
            if token is not None:
                self._note_use(token, now)
        if token is None or token.state(now) is not TokenState.ACTIVE:
            return None
        return Principal(
            name=token.label,
            token_id=token.id,
            scopes=frozenset(token.scopes),
            resources=token.resources,
            origin=token.origin,
        )

    def _note_use(self, token: Token, now: datetime) -> None:
        if token.last_used_at is not None and now - token.last_used_at < NOTED:
            return
        try:
            with self.registry.write() as tx:
                tokens.used(tx, token.id, now=now)
        except PlannerError as error:
            log.warning("the use of token %s could not be noted: %s", token.id, error.message)

    def exchange(self, wanted: Exchange) -> NewToken:
        """Return a short-lived token for an identity token that an issuer of the settings has signed.

        Raises NotAuthenticated for an identity token that does not hold, NotAllowed when no rule trusts it, InvalidInput
        for a resource or scope that is none.
        """
        origin, grant = self.publishers.verify(wanted.subject_token, resource=wanted.resource, now=self.now())
        return self._make(
            label=origin.subject[:200],
            scopes=wanted_scopes(grant, wanted.scopes),
            lifetime=timedelta(seconds=grant.lifetime_seconds),
            resources=grant.resources,
            created_by=origin.issuer[:200],
            origin=origin,
        )

    def registrations(
        self, *, variant: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[RegistrationRecord]:
        """Return who handed in which variant, the newest first."""
        with self.registry.read() as tx:
            variant_id = None if variant is None else variants.get(tx, variant).id
            return tokens.registrations(tx, variant_id=variant_id, limit=limit, cursor=cursor)

    def add_signature(self, variant: str, bundle: bytes) -> SignatureRecord:
        """Keep a signature bundle as a file beside the variant whose files it lists.

        Whether the signature holds is for whoever trusts a key to say, at fetch; that it is over these files is checked.
        """
        if len(bundle) > MAX_BUNDLE_BYTES:
            raise InvalidInput(
                "bundle", f"takes {len(bundle)} bytes", allowed=f"at most {MAX_BUNDLE_BYTES} bytes"
            )
        with self.registry.read() as tx:
            signed = variants.get(tx, variant)
        check_confines(signed)
        signed_files(bundle).check(signed.artifacts)
        blob = self.store.put(iter((bundle,)))
        record = SignatureRecord(
            variant_id=signed.id,
            sha256=blob.sha256,
            size=blob.size,
            key=key_of(bundle),
            actor=acting.actor(otherwise="local"),
            signed_at=self.now(),
        )
        with self.registry.write() as tx:
            if not tokens.add_signature(tx, record):
                return next(each for each in tokens.signatures(tx, signed.id) if each.sha256 == blob.sha256)
        return record

    def signatures(self, variant: str) -> Sequence[SignatureRecord]:
        """Return the signatures of a variant, the newest first."""
        with self.registry.read() as tx:
            return tuple(tokens.signatures(tx, variants.get(tx, variant).id))
