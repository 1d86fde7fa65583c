"""Webhooks: what happened in the registry, told to the addresses that asked for it, at least once each.

An event is written in the transaction of the change it tells of; a delivery is one event on its way to one webhook. The
headers and the signature are those of the Standard Webhooks specification (standardwebhooks.com), so that a receiver can
verify them with a library instead of code of its own.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from planner.errors import InvalidInput

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the public prefix of every secret
MIN_SECRET_BYTES: Final = 24
MAX_SECRET_BYTES: Final = 64
"""Key lengths of the Standard Webhooks specification."""
MAX_URL: Final = 2_000
MAX_ATTEMPTS: Final = 10
FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 6 * 3600.0
_GROWTH: Final = 3.0
TOLERANCE_SECONDS: Final = 300
"""How far a receiver's clock may be from the signed time before a message is taken for a replayed one."""


class EventKind(StrEnum):
    """What can happen."""

    VARIANT_REGISTERED = "variant.registered"
    VARIANT_STATE_CHANGED = "variant.state_changed"
    ALIAS_MOVED = "alias.moved"
    EVIDENCE_ADDED = "evidence.added"
    GATE_PASSED = "gate.passed"
    GATE_FAILED = "gate.failed"
    GATE_INCONCLUSIVE = "gate.inconclusive"
    WEBHOOK_TEST = "webhook.test"
    """Sent when somebody asks for it, to that webhook alone."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened. As JSON it is the body of every message that tells of it, byte for byte."""

    id: str
    """UUIDv7; the same in every delivery, so that a receiver can tell a repetition."""
    kind: EventKind = msgspec.field(name="type")
    at: datetime = msgspec.field(name="timestamp")
    data: Mapping[str, Any]


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """An address that is told of events. Its secret is kept apart and shown once, when it is made."""

    id: str
    url: str
    events: tuple[EventKind, ...] = ()
    """Empty: all of them."""
    active: bool = True
    created_at: datetime
    inactive_because: str | None = None

    def wants(self, kind: EventKind) -> bool:
        """Return whether this webhook is told of events of `kind`."""
        return self.active and (not self.events or kind in self.events)


class DeliveryState(StrEnum):
    """How a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    """Given up after MAX_ATTEMPTS; it can be replayed."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one webhook."""

    webhook_id: str
    event_id: str
    kind: EventKind
    state: DeliveryState
    attempts: int
    next_at: datetime | None
    """When it is tried next; None when it will not be."""
    status: int | None
    """HTTP status of the last answer; None when there was none."""
    problem: str | None
    """What went wrong the last time."""
    delivered_at: datetime | None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one attempt: the answer's status, or why there was none."""

    status: int | None = None
    problem: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the receiver said that it has it: any 2xx."""
        return self.problem is None and self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver said that it wants no more: 410."""
        return self.status == 410


def pause_seconds(attempts: int, *, spread: float) -> float:
    """Return the seconds until the next attempt after `attempts` failed ones: 5 s, tripled each time, at most 6 h.

    `spread`, 0 to 1 at random, moves it between half and all of that, so that messages that failed together do not come
    back together. Ten attempts take between five and ten hours.
    """
    longest = min(FIRST_PAUSE_SECONDS * _GROWTH ** (attempts - 1), LONGEST_PAUSE_SECONDS)
    return longest * (0.5 + spread / 2)


def check_url(url: str) -> str:
    """Return `url` when it is one that messages can be sent to. Raises InvalidInput."""
    allowed = f"http://host/path or https://host/path, at most {MAX_URL} characters, without user or fragment"
    try:
        parts = urlsplit(url)
        valid = (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.port != 0
            and parts.username is None
            and not parts.fragment
        )
    except ValueError:
        valid = False
    if not valid or len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidInput("url", f"`{url[:80]}` is not an address for messages", allowed=allowed)
    return url


def check_secret(secret: str) -> str:
    """Return `secret` when it is one of Standard Webhooks. Raises InvalidInput, without the secret in it."""
    key_of(secret)
    return secret


def key_of(secret: str) -> bytes:
    """Return the key in a secret. Raises InvalidInput."""
    try:
        key = b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise InvalidInput(
            "secret",
            "is not one",
            allowed=f"`{SECRET_PREFIX}` and the base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} random bytes; "
            "leave it out to have one made",
        )
    return key


def secret_of(key: bytes) -> str:
    """Return the secret that holds `key`."""
    return SECRET_PREFIX + b64encode(key).decode()


def signature(secret: str, *, event_id: str, timestamp: int, body: bytes) -> str:
    """Return "v1,<base64>": HMAC-SHA256 with the secret's key over "<id>.<timestamp>.<body>"."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac.digest(key_of(secret), signed, hashlib.sha256)).decode()


def headers(secret: str, *, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message sent at `timestamp`, in seconds since 1970."""
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secret, event_id=event_id, timestamp=timestamp, body=body),
    }


def verify(secret: str, received: Mapping[str, str], body: bytes, *, now: float) -> None:
    """Check a received message, whose header names are in lower case. Raises InvalidInput naming the header that is wrong."""
    event_id, timestamp = received.get("webhook-id", ""), received.get("webhook-timestamp", "")
    if not (timestamp.isdecimal() and len(timestamp) < 20 and abs(now - int(timestamp)) <= TOLERANCE_SECONDS):
        raise InvalidInput(
            "webhook-timestamp",
            f"`{timestamp[:30]}` is not now",
            allowed=f"within {TOLERANCE_SECONDS} seconds of the receiver's clock",
        )
    wanted = signature(secret, event_id=event_id, timestamp=int(timestamp), body=body)
    given = received.get("webhook-signature", "").split(" ")
    if not any(hmac.compare_digest(wanted.encode(), each.encode()) for each in given):
        raise InvalidInput(
            "webhook-signature", "is not of this message", allowed="the one made with the secret"
        )
