"""Permission in an address: a sealed grant says which bytes may be written where until when, and nobody can change it.

The seal is an HMAC-SHA256 (RFC 2104) under a secret that lies in the data folder, readable by its owner alone. Whoever is
given the address needs no other authorization, and can do nothing with it but what the grant says.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

import msgspec

from planner.artifacts.durable import disk_errors, make_directories, sync_directory, write_all
from planner.errors import PlannerError, Unavailable
from planner.wire.grant import Grant

SECRET_BYTES: Final = 32
_MAX_TOKEN: Final = 4_096


class GrantRefused(PlannerError):
    """An address that was not given out by this server, was altered, has expired, or is for something else."""

    code = "grant-refused"
    title = "Address refused"
    status = 403


class Signer:
    """Implements `planner.wire.grant.Sealing`."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def seal(self, grant: Grant) -> str:
        """Return the grant as text that is safe in an address."""
        payload = msgspec.json.encode(grant)
        return f"{_text(payload)}.{_text(self._mac(b'grant', payload))}"

    def open(self, token: str, *, method: str, now: float) -> Grant:
        """Return the grant in `token`. Raises GrantRefused."""
        payload, seal = _split(token)
        if not hmac.compare_digest(self._mac(b"grant", payload), seal):
            raise GrantRefused("this address was not given out by this server, or was altered")
        grant = msgspec.json.decode(payload, type=Grant)
        if grant.method != method:
            raise GrantRefused(f"this address is for {grant.method}, not for {method}")
        if now >= grant.expires:
            raise GrantRefused("this address has expired; ask for a new one by starting the upload again")
        return grant

    def receipt(self, grant: Grant) -> str:
        """Return the proof that the span of `grant` has been written."""
        return self._mac(b"receipt", msgspec.json.encode((grant.session, grant.part))).hex()

    def is_receipt(self, text: str, *, session: str, part: int) -> bool:
        """Return whether `text` is the receipt of a part, with or without quotes around it."""
        expected = self._mac(b"receipt", msgspec.json.encode((session, part))).hex()
        return hmac.compare_digest(expected.encode(), text.strip('"').encode())

    def _mac(self, purpose: bytes, payload: bytes) -> bytes:
        return hmac.digest(self._secret, purpose + b"\0" + payload, hashlib.sha256)


def read_secret(path: Path) -> bytes:
    """Return the secret in the file at `path`, which the first of any number of processes writes. Raises Unavailable."""
    with disk_errors(f"reading the secret {path.name}"):
        if not path.exists():
            _write_secret(path)
        secret = path.read_bytes()
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    if len(secret) != SECRET_BYTES:
        raise Unavailable(
            f"{path.name} holds no secret of {SECRET_BYTES} bytes; remove it to have a new one made"
        )
    return secret


def _write_secret(path: Path) -> None:
    make_directories(path.parent)
    staged = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, secrets.token_bytes(SECRET_BYTES))
        os.fsync(descriptor)
        # A link, not a rename: whoever comes second keeps the secret of the first.
        try:
            os.link(staged, path)
        except FileExistsError:
            return
        sync_directory(path.parent)
    finally:
        os.close(descriptor)
        staged.unlink(missing_ok=True)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _split(token: str) -> tuple[bytes, bytes]:
    payload, _, seal = token[:_MAX_TOKEN].partition(".")
    try:
        return _bytes(payload), _bytes(seal)
    except (ValueError, binascii.Error):
        raise GrantRefused("this address was not given out by this server, or was altered") from None
