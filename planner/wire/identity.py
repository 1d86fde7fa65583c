"""Tokens, registrations and signatures: part of `planner.wire.service.Service`; and what only a server is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from planner.domain.identity import Principal, RegistrationRecord, SignatureRecord, Token, TokenScope
from planner.domain.listing import Page
from planner.wire.page import DEFAULT_LIMIT

MAX_BUNDLE_BYTES: Final = 8 * 1024**2
"""Largest signature bundle: a manifest of ten thousand files takes about 3 MB."""


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A token to be made. `expires_in_seconds` None never expires; `resources` confine writes to repositories."""

    label: str
    scopes: tuple[TokenScope, ...]
    expires_in_seconds: int | None = None
    resources: tuple[str, ...] = ()


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token that was just made, with its secret, which is told this once."""

    token: Token
    secret: str


class SignatureRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signature bundle over a variant's manifest: the JSON text of a sigstore bundle."""

    variant: str
    bundle: str


class SignatureList(msgspec.Struct, frozen=True, kw_only=True):
    """The signatures of a variant, the newest first."""

    variant_id: str
    signatures: tuple[SignatureRecord, ...]


class Exchange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token exchange (RFC 8693): a pipeline's identity token, what it is wanted for, and fewer scopes if wished."""

    subject_token: str
    resource: str | None = None
    scopes: tuple[str, ...] = ()


class Identity(Protocol):
    """Tokens, and who handed in and signed what."""

    def create_token(self, request: TokenRequest) -> NewToken:
        """Make a token. Raises InvalidInput."""
        ...

    def tokens(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Token]:
        """Return tokens, the newest first, without their secrets."""
        ...

    def revoke_token(self, name: str) -> Token:
        """End the token with this id, label or shown beginning. Raises NotFound, InvalidInput."""
        ...

    def registrations(
        self, *, variant: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[RegistrationRecord]:
        """Return who handed in which variant, from which run of which pipeline, the newest first. Raises NotFound."""
        ...

    def add_signature(self, variant: str, bundle: bytes) -> SignatureRecord:
        """Keep a signature bundle beside a variant. Raises NotFound, InvalidInput when it is over other files."""
        ...

    def signatures(self, variant: str) -> Sequence[SignatureRecord]:
        """Return the signatures of a variant, the newest first. Raises NotFound."""
        ...


class Authenticating(Protocol):
    """What a server asks about the tokens it is shown."""

    def authenticate(self, secret: str) -> Principal | None:
        """Return whose token this is; None when it is unknown, expired or revoked."""
        ...

    def exchange(self, wanted: Exchange) -> NewToken:
        """Return a short-lived token for a pipeline's identity token. Raises NotAuthenticated, NotAllowed, InvalidInput."""
        ...
