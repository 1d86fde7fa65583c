"""Identity tokens against a real issuer on loopback: what is trusted, and everything that must not be."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from planner.domain.identity import TokenScope
from planner.domain.trusted_publisher import Issuer as Trusted
from planner.domain.trusted_publisher import Rule, TrustedIssuers
from planner.errors import InvalidInput, NotAllowed, NotAuthenticated, PlannerError, Unavailable
from planner.workspace.issuer_keys import AGAIN_SECONDS, FRESH_SECONDS, STALE_SECONDS, IssuerKeys
from planner.workspace.trusted_publishers import TrustedPublishers, read_issuers
from tests.workspace.issuer import AUDIENCE, CLAIMS, Issuer, running_issuer

REPOSITORY = "llama/int4"


@pytest.fixture(scope="module")
def shared() -> Iterator[Issuer]:
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as issuer:
        yield issuer


def publishers(
    issuer: Issuer, *rules: Rule, algorithms: tuple[str, ...] = ("RS256", "ES256")
) -> TrustedPublishers:
    rules = rules or (Rule(claims={"repository": "acme/*"}, resources=("llama/*",)),)
    trusted = Trusted(issuer=issuer.url, audience=(AUDIENCE,), rules=rules, algorithms=algorithms)
    return TrustedPublishers(TrustedIssuers(issuers=(trusted,)))


def verify(trusted: TrustedPublishers, token: str, resource: str | None = REPOSITORY) -> Any:
    return trusted.verify(token, resource=resource, now=datetime.now(UTC))


@pytest.mark.parametrize(("key", "algorithm"), [("rsa", "RS256"), ("ec", "ES256")])
def test_a_pipeline_is_recognised(shared, key, algorithm):
    origin, grant = verify(publishers(shared), shared.token(key, algorithm))
    assert origin.issuer == shared.url
    assert origin.subject == CLAIMS["sub"]
    assert (origin.repository, origin.ref, origin.sha) == ("acme/models", "refs/heads/main", CLAIMS["sha"])
    assert origin.workflow == CLAIMS["workflow_ref"]
    assert origin.run_url == f"{shared.url}/acme/models/actions/runs/4711/attempts/2"
    assert origin.claims["ref_protected"] == "true"
    assert "exp" not in origin.claims
    assert (grant.scopes, grant.resources, grant.lifetime_seconds) == (
        (TokenScope.REGISTER,),
        (REPOSITORY,),
        900,
    )


def test_a_repository_may_be_given_as_a_url(shared):
    assert verify(publishers(shared), shared.token(), f"{AUDIENCE}/{REPOSITORY}")[1].resources == (
        REPOSITORY,
    )


def test_without_a_repository_the_rule_confines(shared):
    assert verify(publishers(shared), shared.token(), None)[1].resources == ("llama/*",)


HOSTILE: dict[str, dict[str, Any]] = {
    "expired": {"exp": int(time.time()) - 120},
    "not yet": {"nbf": int(time.time()) + 30 * 86_400},
    "issued tomorrow": {"iat": int(time.time()) + 86_400, "exp": int(time.time()) + 86_500},
    "lives for a year": {"exp": int(time.time()) + 365 * 86_400},
    "for someone else": {"aud": "https://huggingface.co"},
    "for many, not for us": {"aud": ["https://a.example", "https://b.example"]},
    "no expiry": {"without": ("exp",)},
    "no audience": {"without": ("aud",)},
    "no time of issue": {"without": ("iat",)},
    "no subject": {"without": ("sub",)},
    "expiry is text": {"exp": "soon"},
    "issuer is a list": {"iss": ["x"]},
    "another issuer": {"iss": "https://evil.example"},
    "issuer with a slash": {"iss": "SLASH"},
    "unknown key": {"headers": {"kid": "nobody's"}},
    "key of another kind": {"headers": {"kid": "ec"}},
    "extensions": {"headers": {"crit": ["b64"], "b64": True}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tokens_are_refused(shared, name):
    changes = dict(HOSTILE[name])
    if changes.get("iss") == "SLASH":
        changes["iss"] = shared.url + "/"
    try:
        token = shared.token(**changes)
    except TypeError:  # the library does not write what is no text for an issuer: written by hand
        token = by_hand(shared, {"alg": "RS256", "kid": "rsa"}, changes)
    with pytest.raises(NotAuthenticated):
        verify(publishers(shared), token)


def encode(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def claims_of(issuer: Issuer, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": issuer.url, "aud": AUDIENCE, "iat": now, "exp": now + 300, **CLAIMS, **changes}


def by_hand(issuer: Issuer, header: dict[str, Any], changes: dict[str, Any]) -> str:
    return f"{encode(header)}.{encode(claims_of(issuer, **changes))}.{'A' * 342}"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, "HS256", ["RS256"]])
def test_unsigned_and_secretly_signed_tokens_are_refused(shared, algorithm):
    header = {"alg": algorithm, "kid": "rsa"}
    body = f"{encode(header)}.{encode(claims_of(shared))}."
    with pytest.raises(NotAuthenticated):
        verify(publishers(shared), body)


def test_a_public_key_is_no_shared_secret(shared):
    """The classic confusion: an HMAC whose key is the issuer's public key, which everybody has."""
    import hashlib
    import hmac

    pem = (
        shared.private["rsa"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    signed = f"{encode({'alg': 'HS256', 'kid': 'rsa'})}.{encode(claims_of(shared))}"
    mac = hmac.new(pem, signed.encode(), hashlib.sha256).digest()
    with pytest.raises(NotAuthenticated, match="HS256"):
        verify(publishers(shared), f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}")


def test_a_key_in_the_header_is_not_used(shared):
    own = ec.generate_private_key(ec.SECP256R1())
    document = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(own.public_key()))
    headers = {"kid": "ec", "jwk": document, "jku": "http://127.0.0.1:1/jwks"}
    token = jwt.encode(claims_of(shared), own, algorithm="ES256", headers=headers)
    with pytest.raises(NotAuthenticated):
        verify(publishers(shared), token)


def test_a_changed_claim_breaks_the_signature(shared):
    head, _, tail = shared.token().split(".")
    with pytest.raises(NotAuthenticated):
        verify(publishers(shared), f"{head}.{encode(claims_of(shared, repository='acme/other'))}.{tail}")


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "..", "é.é.é", "A" * 20_000, "e30.e30.", "W10.W10.AA"])
def test_what_is_no_token_is_refused(shared, text):
    with pytest.raises(NotAuthenticated):
        verify(publishers(shared), text)


@pytest.mark.parametrize(
    ("claims", "changes"),
    [
        ({"repository": "acme/*"}, {"repository": "acme-evil/models"}),
        ({"repository": "acme/*"}, {"repository": "acme/a/b"}),
        ({"repository": "acme/*"}, {"repository": ["acme2/x"]}),
        ({"repository": "acme/models"}, {"repository": "Acme/models"}),
        ({"repository": "acme/models", "ref": "refs/heads/main"}, {"ref": "refs/pull/1/merge"}),
        ({"environment": "production"}, {}),
        ({"ref_protected": True}, {"ref_protected": "true"}),
        ({"run_number": 7}, {"run_number": True}),
    ],
)
def test_claims_that_no_rule_trusts(shared, claims, changes):
    with pytest.raises(NotAllowed):
        verify(publishers(shared, Rule(claims=claims)), shared.token(**changes))


def test_a_repository_that_the_rule_does_not_cover(shared):
    with pytest.raises(NotAllowed, match="qwen/int4"):
        verify(publishers(shared), shared.token(), "qwen/int4")
    with pytest.raises(InvalidInput):
        verify(publishers(shared), shared.token(), "datasets/llama/int4")


def test_the_first_rule_that_covers_the_repository_decides(shared):
    rules = (
        Rule(claims={"repository": "acme/*"}, resources=("qwen/*",), scopes=(TokenScope.PROMOTE,)),
        Rule(
            claims={"repository": "acme/models"},
            resources=("llama/**",),
            scopes=(TokenScope.READ,),
            lifetime_seconds=60,
        ),
    )
    grant = verify(publishers(shared, *rules), shared.token())[1]
    assert (grant.scopes, grant.lifetime_seconds) == ((TokenScope.READ,), 60)


def test_nobody_is_trusted_without_a_file(shared):
    with pytest.raises(NotAuthenticated, match="PLANNER_OIDC"):
        verify(TrustedPublishers.read(None), shared.token())


def test_short_keys_and_shared_secrets_in_a_key_set_are_not_used(issuer):
    issuer.add("short", rsa.generate_private_key(public_exponent=65537, key_size=1024), "RS256")
    issuer.keys.append({"kty": "oct", "kid": "secret", "k": "c2VjcmV0", "alg": "HS256"})
    issuer.add("sealing", issuer.private["rsa"], "RS256", use="enc")
    trusted = publishers(issuer)
    for name in ("short", "secret", "sealing"):
        token = by_hand(issuer, {"alg": "RS256", "kid": name}, {})
        with pytest.raises(NotAuthenticated):
            verify(trusted, token)


def test_keys_are_exchanged_without_a_restart(issuer):
    now = [1000.0]
    keys = IssuerKeys(
        Trusted(issuer=issuer.url, audience=("x",), rules=(Rule(claims={"sub": "x"}),)), clock=lambda: now[0]
    )
    assert keys.get("rsa", "RS256").key_id == "rsa"
    assert issuer.requests == ["/.well-known/openid-configuration", "/jwks"]
    issuer.rotate()
    for _ in range(50):  # names of keys that nobody has do not make the issuer be asked again and again
        with pytest.raises(NotAuthenticated):
            keys.get("new", "EdDSA")
    assert len(issuer.requests) == 2
    now[0] += AGAIN_SECONDS
    assert keys.get("new", "EdDSA").key_id == "new"
    with pytest.raises(NotAuthenticated):  # what the issuer has withdrawn is gone
        keys.get("rsa", "RS256")
    assert len(issuer.requests) == 4


def test_keys_outlive_an_outage_of_the_issuer_for_a_day(issuer):
    now = [0.0]
    keys = IssuerKeys(
        Trusted(issuer=issuer.url, audience=("x",), rules=(Rule(claims={"sub": "x"}),)), clock=lambda: now[0]
    )
    keys.get("rsa", "RS256")
    issuer.broken = True
    now[0] += FRESH_SECONDS + 1
    assert keys.get("rsa", "RS256").key_id == "rsa"
    now[0] += STALE_SECONDS
    with pytest.raises(Unavailable):
        keys.get("rsa", "RS256")


def test_an_issuer_that_is_away_from_the_start_is_told_apart_from_a_bad_token(issuer):
    issuer.broken = True
    trusted = publishers(issuer)
    for _ in range(2):  # the second time it is not asked again
        with pytest.raises(Unavailable):
            verify(trusted, issuer.token())
    assert len(issuer.requests) == 1


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://evil.example", "jwks_uri": "https://evil.example/jwks"},
        {"jwks_uri": "http://evil.example/jwks"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": 5},
    ],
)
def test_a_discovery_document_that_leads_astray(issuer, discovery):
    issuer.discovery = {**issuer.discovery, **discovery}
    with pytest.raises(Unavailable):
        verify(publishers(issuer), issuer.token())


def test_documents_of_an_issuer_are_bounded(issuer):
    issuer.keys.append({"kty": "RSA", "kid": "x" * (600 * 1024)})
    with pytest.raises(Unavailable, match="larger"):
        verify(publishers(issuer), issuer.token())


TOML = """
[[issuers]]
issuer = "https://token.actions.githubusercontent.com"
audience = ["https://registry.example"]

[[issuers.rules]]
claims = { repository = "acme/*", ref = "refs/heads/main" }
scopes = ["register", "promote"]
resources = ["llama/*"]
lifetime_seconds = 600
"""


def test_the_file_is_toml_or_yaml(tmp_path):
    toml, yaml = tmp_path / "oidc.toml", tmp_path / "oidc.yaml"
    toml.write_text(TOML)
    trusted = read_issuers(toml)
    yaml.write_text(json.dumps({"issuers": [json.loads(json.dumps(to_json(trusted.issuers[0])))]}))
    assert read_issuers(yaml) == trusted
    assert trusted.issuers[0].rules[0].scopes == (TokenScope.REGISTER, TokenScope.PROMOTE)


def to_json(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ('repository = "acme/*", ref = "refs/heads/main"', 'repository = "**"', "trust everyone"),
        ('repository = "acme/*", ref = "refs/heads/main"', "", "trust everyone"),
        ('"https://token', '"http://token', "issuer"),
        ('["https://registry.example"]', "[]", "audience"),
        ('"promote"', '"admin"', "admin"),
        ('"promote"', '"root"', "root"),
        ("= 600", "= 86400", "lifetime_seconds"),
        ("lifetime_seconds", "lifetime", "lifetime"),
        ("[[issuers]]", 'algorithms = ["none"]\n[[issuers]]', "algorithms"),
        ("audience =", 'algorithms = ["HS256"]\naudience =', "HS256"),
    ],
)
def test_a_file_that_trusts_too_much_is_refused(tmp_path, old, new, word):
    path = tmp_path / "oidc.toml"
    assert old in TOML
    path.write_text(TOML.replace(old, new, 1))
    with pytest.raises(InvalidInput, match=word):
        read_issuers(path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[", b"issuers: {", b""])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    for name in ("oidc.toml", "oidc.yaml"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(PlannerError):
            read_issuers(path)
    with pytest.raises(InvalidInput, match="PLANNER_OIDC"):
        read_issuers(tmp_path / "absent.toml")
