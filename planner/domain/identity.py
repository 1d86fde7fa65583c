"""Identity: tokens, the scopes they carry, and what each scope lets its bearer do. Pure.

Scopes are not a ladder: a pipeline that registers builds must not be able to move `prod`, and a worker that measures
must be able to do neither. So `register`, `measure` and `promote` stand side by side; each implies `read`, and `admin`
implies all of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

from planner.errors import InvalidInput

TOKEN_PREFIX: Final = "hf_"  # noqa: S105 - what every token begins with
SECRET_LENGTH: Final = 40
"""Letters and digits after the prefix: 62^40 is 238 bits. llama.cpp sends a token only when it has at least 34."""
SHOWN: Final = 8
"""Characters by which a token is recognised in lists: the prefix and five of 40, which leave 208 bits unknown."""
ALPHABET: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
ANONYMOUS: Final = "anonymous"

_TOKEN: Final = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9]{{34,128}}")
_SEGMENT: Final = r"[A-Za-z0-9._-]+"
_RESOURCE: Final = re.compile(rf"(?!\.\.?/){_SEGMENT}/(?!\.\.?\Z){_SEGMENT}")


class TokenScope(StrEnum):
    """What a token lets its bearer do."""

    READ = "read"
    """Ask questions, browse and download."""
    REGISTER = "register"
    """Upload files, register variants and hand in their evidence."""
    MEASURE = "measure"
    """Queue jobs, lease them as a worker, and hand in what they found; register variants under a lease."""
    PROMOTE = "promote"
    """Move aliases and change the state of variants: what others are served."""
    ADMIN = "admin"
    """Everything, tokens included."""


IMPLIED: Final[Mapping[TokenScope, frozenset[TokenScope]]] = {
    TokenScope.READ: frozenset({TokenScope.READ}),
    TokenScope.REGISTER: frozenset({TokenScope.REGISTER, TokenScope.READ}),
    TokenScope.MEASURE: frozenset({TokenScope.MEASURE, TokenScope.READ}),
    TokenScope.PROMOTE: frozenset({TokenScope.PROMOTE, TokenScope.READ}),
    TokenScope.ADMIN: frozenset(TokenScope),
}
"""Everything that a scope grants, itself included."""


class TokenOrigin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The run of a pipeline that a keyless token was given to: facts its issuer signed, not what the client says."""

    issuer: str
    subject: str
    repository: str | None = None
    workflow: str | None = None
    ref: str | None = None
    sha: str | None = None
    run_url: str | None = None
    actor: str | None = None
    """Who started the run, as the issuer names them."""
    claims: Mapping[str, str] = {}
    """The other claims as text, those that are lists or objects left out."""


class Principal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who makes a request: the bearer of a token."""

    name: str
    """What logs and histories say: the token's label, or the subject its issuer vouched for."""
    token_id: str
    scopes: frozenset[TokenScope]
    resources: tuple[str, ...] = ()
    """Patterns of repositories that writes are confined to; empty means any."""
    origin: TokenOrigin | None = None

    def may(self, needed: TokenScope) -> bool:
        """Return whether any scope of the token grants `needed`."""
        return any(needed in IMPLIED[scope] for scope in self.scopes)

    def may_write_to(self, repository: str) -> bool:
        """Return whether the token is not confined, or its confines take in this repository."""
        return not self.resources or any(matches(pattern, repository) for pattern in self.resources)


class Token(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token as it can be shown: everything but its secret, which is not kept."""

    id: str
    label: str
    shown: str
    """Its first characters, by which its owner recognises it."""
    scopes: tuple[TokenScope, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    """To within some minutes: not every use is written down."""
    revoked_at: datetime | None = None
    resources: tuple[str, ...] = ()
    origin: TokenOrigin | None = None

    def state(self, now: datetime) -> TokenState:
        """Return whether it works at `now`."""
        if self.revoked_at is not None:
            return TokenState.REVOKED
        if self.expires_at is not None and now >= self.expires_at:
            return TokenState.EXPIRED
        return TokenState.ACTIVE


class TokenState(StrEnum):
    """Whether a token works."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class RegistrationRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who handed in the bytes of a variant. Handing in the same bytes again adds a record, not a variant."""

    variant_id: str
    token_id: str
    actor: str
    registered_at: datetime
    created: bool
    """False when the variant was there before."""
    origin: TokenOrigin | None = None


class SignatureRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A signature over a variant's manifest: where its bundle is kept, and what it was made with."""

    variant_id: str
    sha256: str
    """Digest of the bundle, which can be read like any other file."""
    size: int
    key: str | None
    """sha256 of the public key (PEM) that the bundle names; None for other ways of signing."""
    actor: str
    signed_at: datetime
    """When it was handed in."""


def is_token(text: str) -> bool:
    """Return whether `text` has the form of a token: "hf_" and 34 to 128 ASCII letters and digits."""
    return _TOKEN.fullmatch(text) is not None


def token_digest(token: str) -> str:
    """Return the hash that is kept of a token: its SHA-256 in hex.

    A plain hash suffices because a token is 238 random bits, not a password: nobody can try them all, so a slow or
    salted hash would only make each request slower. It also makes the lookup an exact match on a hash, whose timing
    tells nothing of the token.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def bearer(header: str | None) -> str | None:
    """Return what an Authorization header carries as a bearer token; None when it carries none."""
    scheme, _, value = (header or "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" and value.strip() else None


def parse_scopes(names: Iterable[str]) -> tuple[TokenScope, ...]:
    """Return scopes in their own order, each once. Raises InvalidInput for an unknown one and for none."""
    given = set(names)
    unknown = sorted(given - set(TokenScope))
    allowed = ", ".join(TokenScope)
    if unknown:
        raise InvalidInput("scopes", f"`{unknown[0][:80]}` is unknown", allowed=allowed)
    if not given:
        raise InvalidInput("scopes", "are empty", allowed=f"at least one of {allowed}")
    return tuple(scope for scope in TokenScope if scope in given)


def check_resource(resource: str) -> str:
    """Return a repository's name, "model/variant". Raises InvalidInput."""
    if len(resource) > 200 or _RESOURCE.fullmatch(resource) is None:
        raise InvalidInput("resource", f"`{resource[:80]}` is not a repository", allowed="MODEL/VARIANT")
    return resource


def matches(pattern: str, text: str) -> bool:
    """Return whether `text` is what `pattern` describes: `*` stands for anything but "/", `**` for anything.

    Letter case counts, and nothing else in a pattern is special.
    """
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*)", pattern)
    wild = {"*": "[^/]*", "**": ".*"}
    return re.compile("".join(wild.get(part, re.escape(part)) for part in parts), re.DOTALL)
