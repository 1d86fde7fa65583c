"""Trusted publishers: identity tokens of pipelines, verified against the issuers that a file names.

What is checked, in this order: size and form, issuer, signature algorithm (an allow-list, "none" and shared secrets never),
the issuer's key, signature, audience, times with a minute's leeway, and only then the claims, against the rules.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import jwt
import msgspec
import yaml

from planner.domain.identity import TokenOrigin
from planner.domain.trusted_publisher import Grant, TrustedIssuers, asked_repository, grant, origin_of
from planner.errors import InvalidInput, NotAuthenticated
from planner.workspace.issuer_keys import IssuerKeys, fetch_document

LEEWAY_SECONDS: Final = 60
MAX_TOKEN: Final = 16 * 1024
"""Longest identity token in characters; those of GitHub and GitLab have about 2,000."""
MAX_FILE_BYTES: Final = 1024**2
_REQUIRED: Final = ("iss", "sub", "aud", "exp", "iat")


def read_issuers(path: Path) -> TrustedIssuers:
    """Return the trusted publishers in a TOML or YAML file. Raises InvalidInput naming the field."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise InvalidInput(str(path), "is too large", allowed=f"at most {MAX_FILE_BYTES} bytes")
        text = data.decode()
        document: Any = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
        return msgspec.convert(document, TrustedIssuers)
    except OSError as error:
        raise InvalidInput("PLANNER_OIDC", f"`{path}` cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise InvalidInput(
            str(path),
            f"{error}".replace("\n", " "),
            allowed="issuers with audience and rules, see docs/identity.md",
        ) from error


class TrustedPublishers:
    """The issuers a server trusts, and their keys. Thread-safe."""

    def __init__(self, trusted: TrustedIssuers, *, fetch: Callable[[str], bytes] = fetch_document) -> None:
        self._issuers = {each.issuer: each for each in trusted.issuers}
        self._keys = {each.issuer: IssuerKeys(each, fetch=fetch) for each in trusted.issuers}

    @classmethod
    def read(cls, path: Path | None) -> TrustedPublishers:
        """Return those in a file; none without one. Raises InvalidInput."""
        return cls(TrustedIssuers(issuers=()) if path is None else read_issuers(path))

    def verify(self, token: str, *, resource: str | None, now: datetime) -> tuple[TokenOrigin, Grant]:
        """Return where an identity token comes from and what it is worth for `resource`.

        Raises NotAuthenticated, NotAllowed when no rule trusts it, InvalidInput, Unavailable when the issuer is away.
        """
        if not self._issuers:
            raise NotAuthenticated("this server trusts no issuer of identity tokens; PLANNER_OIDC names them")
        repository = asked_repository(resource)
        header, name = _unverified(token)
        issuer = self._issuers.get(name)
        if issuer is None:
            raise NotAuthenticated(f"the issuer `{name[:200]}` is not trusted here")
        algorithm = header.get("alg")
        if algorithm not in issuer.algorithms:
            raise NotAuthenticated(
                f"`{str(algorithm)[:20]}` is not accepted", allowed=", ".join(issuer.algorithms)
            )
        if "crit" in header:
            raise NotAuthenticated("the identity token has extensions that are not understood")
        key_id = header.get("kid")
        key = self._keys[name].get(key_id if isinstance(key_id, str) else None, str(algorithm))
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[str(algorithm)],
                issuer=issuer.issuer,
                audience=list(issuer.audience),
                leeway=LEEWAY_SECONDS,
                options={"require": list(_REQUIRED)},
            )
        except jwt.PyJWTError as error:
            raise NotAuthenticated(f"the identity token does not hold: {_reason(error)}") from error
        _check_age(claims, now)
        return origin_of(issuer.issuer, claims), grant(issuer, claims, repository)


def _unverified(token: str) -> tuple[dict[str, Any], str]:
    """Return the header and the issuer that a token states; nothing of it is to be believed yet."""
    if len(token) > MAX_TOKEN:
        raise NotAuthenticated("the identity token is too long", allowed=f"at most {MAX_TOKEN} characters")
    try:
        header: dict[str, Any] = jwt.get_unverified_header(token)
        claims: Any = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise NotAuthenticated("the identity token is no signed JWT") from error
    name = claims.get("iss")
    if not isinstance(name, str):
        raise NotAuthenticated("the identity token names no issuer")
    return header, name


def _check_age(claims: dict[str, Any], now: datetime) -> None:
    """Raise NotAuthenticated for a token that was made to live for more than a day."""
    if claims["exp"] - claims["iat"] > 24 * 3600 or claims["exp"] < now.timestamp() - LEEWAY_SECONDS:
        raise NotAuthenticated("the identity token lives too long; identity tokens of pipelines last minutes")


def _reason(error: jwt.PyJWTError) -> str:
    return str(error)[:200] or type(error).__name__
