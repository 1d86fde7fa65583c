"""Trusted publishers: which pipelines of which issuers get a token, for what, and for how long. Pure.

An issuer vouches for claims; a rule says which values of them are trusted and what is granted. Several rules may hold:
the first that covers what is asked decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

import msgspec

from planner.domain.identity import IMPLIED, TokenOrigin, TokenScope, check_resource, matches, parse_scopes
from planner.errors import InvalidInput, NotAllowed

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures with a key pair. HS*, whose key is a shared secret, and "none" are never accepted."""
LONGEST_SECONDS: Final = 3600
DEFAULT_SECONDS: Final = 900
MAX_CLAIM: Final = 512
MAX_CLAIMS: Final = 64

_GITHUB_ISSUER: Final = "https://token.actions.githubusercontent.com"
_GITHUB_SERVER: Final = "https://github.com"
_NAMED: Final[Mapping[str, tuple[str, ...]]] = {
    "repository": ("repository", "project_path"),
    "workflow": ("job_workflow_ref", "workflow_ref", "ci_config_ref_uri", "workflow"),
    "ref": ("ref", "ref_path"),
    "sha": ("sha", "ci_config_sha"),
    "actor": ("actor", "user_login"),
}
"""Our names of facts, and the claims of GitHub and GitLab that state them, the more exact first."""
_PROTOCOL: Final = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti"})


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is trusted, by claims that must all match, and what they get."""

    claims: Mapping[str, str | bool | int]
    """Patterns: `*` stands for anything but "/", `**` for anything."""
    scopes: tuple[TokenScope, ...] = (TokenScope.REGISTER,)
    resources: tuple[str, ...] = ()
    """Patterns of repositories that may be asked for; empty means any. A token is confined to the one it was asked for, or,
    when it was asked for none, to these."""
    lifetime_seconds: int = DEFAULT_SECONDS

    def __post_init__(self) -> None:
        said = [str(value) for value in self.claims.values()]
        if not any(value.strip("*/") for value in said):
            raise InvalidInput(
                "rule.claims",
                "would trust everyone the issuer knows",
                allowed="at least one claim with a value, such as repository",
            )
        if not 60 <= self.lifetime_seconds <= LONGEST_SECONDS:
            raise InvalidInput(
                "rule.lifetime_seconds",
                f"{self.lifetime_seconds} is out of range",
                allowed=f"60 to {LONGEST_SECONDS}",
            )
        parse_scopes(self.scopes)
        if TokenScope.ADMIN in self.scopes:
            raise InvalidInput(
                "rule.scopes",
                "hold `admin`",
                allowed="read, register, measure, promote: pipelines make no tokens",
            )

    def trusts(self, claims: Mapping[str, Any]) -> bool:
        """Return whether every claim that the rule names has a value it accepts."""
        return all(_accepts(wanted, claims.get(name)) for name, wanted in self.claims.items())


class Issuer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An issuer of identity tokens: where its keys are, whom its tokens must be meant for, and whom of it to trust."""

    issuer: str
    audience: tuple[str, ...]
    rules: tuple[Rule, ...]
    jwks_uri: str | None = None
    """Where the keys are; None asks the issuer's discovery document."""
    algorithms: tuple[str, ...] = ("RS256", "ES256")

    def __post_init__(self) -> None:
        check_url("issuer", self.issuer)
        if self.jwks_uri is not None:
            check_url("jwks_uri", self.jwks_uri)
        if not self.audience or not all(self.audience):
            raise InvalidInput("audience", "is empty", allowed="the URL by which clients reach this server")
        if not self.rules:
            raise InvalidInput("rules", "are empty", allowed="at least one rule")
        unknown = [name for name in self.algorithms if name not in ALGORITHMS]
        if unknown or not self.algorithms:
            raise InvalidInput(
                "algorithms",
                f"`{unknown[0]}` is refused" if unknown else "are empty",
                allowed=", ".join(ALGORITHMS),
            )

    @property
    def discovery_url(self) -> str:
        """Where OpenID Connect Discovery 1.0 (section 4) has the issuer describe itself."""
        return self.issuer.rstrip("/") + "/.well-known/openid-configuration"


class TrustedIssuers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file of trusted publishers."""

    issuers: tuple[Issuer, ...]

    def __post_init__(self) -> None:
        names = [each.issuer for each in self.issuers]
        if len(set(names)) != len(names):
            raise InvalidInput(
                "issuers", "hold the same issuer twice", allowed="one entry with several rules"
            )


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a pipeline gets: scopes, the repositories its writes are confined to, and seconds of life."""

    scopes: tuple[TokenScope, ...]
    resources: tuple[str, ...]
    lifetime_seconds: int


def check_url(field: str, url: str) -> None:
    """Raise InvalidInput unless `url` is https, or http on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        local = host in {"localhost", "127.0.0.1", "::1"}
        fine = (
            bool(host)
            and not parts.username
            and (parts.scheme == "https" or (parts.scheme == "http" and local))
        )
    except ValueError:
        fine = False
    if not fine:
        raise InvalidInput(
            field, f"`{url[:200]}` is not allowed", allowed="https://…, or http:// on this machine"
        )


def asked_repository(resource: str | None) -> str | None:
    """Return the repository that a token is asked for, as "model/variant" or a URL that ends so; None when it is none.

    Raises InvalidInput.
    """
    if resource is None:
        return None
    try:
        parts = urlsplit(resource)
    except ValueError:
        parts = urlsplit("")
    name = parts.path.strip("/") if parts.scheme in {"http", "https"} and parts.netloc else resource
    return check_resource(name)


def grant(issuer: Issuer, claims: Mapping[str, Any], repository: str | None) -> Grant:
    """Return what the first rule that trusts `claims` and covers `repository` grants. Raises NotAllowed."""
    trusting = [rule for rule in issuer.rules if rule.trusts(claims)]
    if not trusting:
        raise NotAllowed(
            f"no rule for {issuer.issuer} trusts `{str(claims.get('sub'))[:200]}`",
            subject=str(claims.get("sub"))[:200],
        )
    for rule in trusting:
        covered = not rule.resources or repository is None
        if covered or any(matches(pattern, str(repository)) for pattern in rule.resources):
            return Grant(
                scopes=rule.scopes,
                resources=rule.resources if repository is None else (repository,),
                lifetime_seconds=rule.lifetime_seconds,
            )
    allowed = sorted({pattern for rule in trusting for pattern in rule.resources})
    raise NotAllowed(
        f"`{repository}` is no repository that this pipeline may write to", allowed=", ".join(allowed)
    )


def wanted_scopes(given: Grant, asked: Iterable[str]) -> tuple[TokenScope, ...]:
    """Return the scopes of a grant, or those asked for where they are fewer. Raises InvalidInput, NotAllowed."""
    names = tuple(asked)
    if not names:
        return given.scopes
    wanted = parse_scopes(names)
    granted = frozenset[TokenScope]().union(*(IMPLIED[scope] for scope in given.scopes))
    beyond = [scope for scope in wanted if scope not in granted]
    if beyond:
        raise NotAllowed(f"`{beyond[0]}` is not granted to this pipeline", allowed=", ".join(sorted(granted)))
    return wanted


def origin_of(issuer: str, claims: Mapping[str, Any]) -> TokenOrigin:
    """Return the facts that a verified identity token states of the run it was issued to."""
    texts = {name: text for name, value in claims.items() if (text := _text(value)) is not None}
    named = {
        ours: next((texts[name] for name in theirs if name in texts), None) for ours, theirs in _NAMED.items()
    }
    rest = {name: text for name, text in sorted(texts.items()) if name not in _PROTOCOL}
    return TokenOrigin(
        issuer=issuer,
        subject=texts.get("sub", ""),
        run_url=_run_url(issuer, texts),
        claims=dict(list(rest.items())[:MAX_CLAIMS]),
        **named,
    )


def _run_url(issuer: str, texts: Mapping[str, str]) -> str | None:
    repository, run, job = (texts.get(name) for name in ("repository", "run_id", "job_id"))
    if repository and run and run.isdecimal():
        # An enterprise server issues tokens under its own address, github.com under that of its runners.
        server = _GITHUB_SERVER if issuer == _GITHUB_ISSUER else "://".join(urlsplit(issuer)[:2])
        attempt = texts.get("run_attempt", "")
        url = f"{server}/{repository}/actions/runs/{run}"
        return url + (f"/attempts/{attempt}" if attempt.isdecimal() else "")
    project = texts.get("project_path")
    return f"{issuer.rstrip('/')}/{project}/-/jobs/{job}" if project and job and job.isdecimal() else None


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        text = str(value)
        return text if len(text) <= MAX_CLAIM and text.isprintable() else None
    return None


def _accepts(wanted: str | bool | int, stated: object) -> bool:
    if isinstance(stated, list):
        return any(
            _accepts(wanted, each) for each in cast("list[object]", stated) if not isinstance(each, list)
        )
    if isinstance(wanted, str):
        return isinstance(stated, str) and matches(wanted, stated)
    return type(stated) is type(wanted) and stated == wanted
