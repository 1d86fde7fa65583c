"""A real issuer of identity tokens on loopback: discovery document, key set, and keys that can be exchanged."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

AUDIENCE = "https://registry.example"
CLAIMS = {
    "sub": "repo:acme/models:ref:refs/heads/main",
    "repository": "acme/models",
    "repository_owner": "acme",
    "workflow_ref": "acme/models/.github/workflows/build.yml@refs/heads/main",
    "ref": "refs/heads/main",
    "sha": "0123456789abcdef0123456789abcdef01234567",
    "run_id": "4711",
    "run_attempt": "2",
    "actor": "someone",
    "ref_protected": "true",
}
"""As GitHub states them."""


class Issuer:
    """An issuer's keys and what it serves."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[str] = []
        self.broken = False
        self.discovery: dict[str, Any] = {"issuer": url, "jwks_uri": f"{url}/jwks"}
        self.private: dict[str, Any] = {}
        self.keys: list[dict[str, Any]] = []
        self.add("rsa", rsa.generate_private_key(public_exponent=65537, key_size=2048), "RS256")
        self.add("ec", ec.generate_private_key(ec.SECP256R1()), "ES256")

    def add(self, name: str, key: Any, algorithm: str, **members: Any) -> None:
        kinds: dict[str, Any] = {"RS": RSAAlgorithm, "ES": ECAlgorithm, "Ed": OKPAlgorithm}
        document = json.loads(kinds[algorithm[:2]].to_jwk(key.public_key()))
        document.pop("key_ops", None)
        self.private[name] = key
        self.keys.append({**document, "kid": name, "alg": algorithm, "use": "sig", **members})

    def rotate(self) -> None:
        """Withdraw every key and begin with a new one."""
        self.keys.clear()
        self.add("new", ed25519.Ed25519PrivateKey.generate(), "EdDSA")

    def token(
        self,
        key: str = "rsa",
        algorithm: str = "RS256",
        *,
        headers: dict[str, Any] | None = None,
        without: tuple[str, ...] = (),
        **claims: Any,
    ) -> str:
        now = int(time.time())
        stated = {
            "iss": self.url,
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            **CLAIMS,
            **claims,
        }
        stated = {name: value for name, value in stated.items() if name not in without}
        return jwt.encode(
            stated, self.private[key], algorithm=algorithm, headers={"kid": key, **(headers or {})}
        )

    def settings(self, folder: Path, **rule: Any) -> Path:
        """Return a file that trusts this issuer."""
        rule = {"claims": {"repository": "acme/*", "ref": "refs/heads/main"}, **rule}
        issuer = {
            "issuer": self.url,
            "audience": [AUDIENCE],
            "algorithms": ["RS256", "ES256", "EdDSA"],
            "rules": [rule],
        }
        path = folder / "oidc.yaml"
        path.write_text(json.dumps({"issuers": [issuer]}))  # JSON is YAML
        return path


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.requests.append(self.path)
            documents = {
                "/.well-known/openid-configuration": issuer.discovery,
                "/jwks": {"keys": issuer.keys},
            }
            if issuer.broken or self.path not in documents:
                self.send_error(500)
                return
            body = json.dumps(documents[self.path]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
