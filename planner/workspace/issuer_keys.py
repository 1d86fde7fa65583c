"""Keys of issuers: fetched when they are needed, kept, and fetched again when a token names one that is not there.

A token names its key before anything about it is proved, so anyone can name keys that do not exist. Fetching again is
therefore bounded in time, whatever is asked; so are the size of a document and the wait for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import httpx
import jwt
import msgspec

from planner.domain.trusted_publisher import Issuer, check_url
from planner.errors import InvalidInput, NotAuthenticated, Unavailable

FRESH_SECONDS: Final = 3600.0
"""Keys older than this are fetched again, so that one an issuer has withdrawn stops working."""
AGAIN_SECONDS: Final = 30.0
"""Not more often than this, whatever tokens say."""
STALE_SECONDS: Final = 24 * 3600.0
"""How long keys are used while the issuer cannot be reached."""
MAX_BYTES: Final = 512 * 1024
MAX_KEYS: Final = 200
MIN_RSA_BITS: Final = 2048
TIMEOUT: Final = httpx.Timeout(5.0)
LONGEST_SECONDS: Final = 10.0
_KINDS: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
"""Kind of key that a signature begins its name with."""
_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}

T = TypeVar("T")
Fetch = Callable[[str], bytes]


class _KeySet(msgspec.Struct, frozen=True):
    keys: tuple[dict[str, Any], ...]


class _Discovery(msgspec.Struct, frozen=True):
    issuer: str
    jwks_uri: str


def fetch_document(url: str) -> bytes:
    """Return the bytes at `url`; redirects are not followed. Raises Unavailable."""
    try:
        with (
            httpx.Client(timeout=TIMEOUT, follow_redirects=False) as client,
            client.stream("GET", url, headers={"Accept": "application/json"}) as response,
        ):
            if response.status_code != 200:
                raise Unavailable(f"{url} answered {response.status_code}")
            body, deadline = bytearray(), time.monotonic() + LONGEST_SECONDS
            for chunk in response.iter_bytes():
                body += chunk
                if time.monotonic() > deadline:
                    raise Unavailable(f"{url} took longer than {LONGEST_SECONDS:.0f} s")
                if len(body) > MAX_BYTES:
                    raise Unavailable(f"{url} is larger than {MAX_BYTES} bytes")
            return bytes(body)
    except httpx.HTTPError as error:
        raise Unavailable(f"{url} cannot be read: {type(error).__name__}") from error


class IssuerKeys:
    """The public keys of one issuer. Thread-safe."""

    def __init__(
        self, issuer: Issuer, *, fetch: Fetch = fetch_document, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str | None, dict[str, Any]] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None

    def get(self, key_id: str | None, algorithm: str) -> jwt.PyJWK:
        """Return the key called `key_id`, or the only one there is, for `algorithm`.

        Raises NotAuthenticated when there is none, or it is of another kind, and Unavailable when keys cannot be fetched.
        """
        with self._lock:
            age = None if self._fetched_at is None else self._clock() - self._fetched_at
            if age is None or age > FRESH_SECONDS or self._find(key_id) is None:
                self._refresh(age)
            found = self._find(key_id)
        if found is None:
            raise NotAuthenticated(f"{self._issuer.issuer} has no key `{str(key_id)[:80]}`")
        return _key(found, algorithm)

    def _find(self, key_id: str | None) -> dict[str, Any] | None:
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def _refresh(self, age: float | None) -> None:
        now = self._clock()
        if self._tried_at is not None and now - self._tried_at < AGAIN_SECONDS:
            if age is None:
                raise Unavailable(f"the keys of {self._issuer.issuer} could not be fetched a moment ago")
            return
        self._tried_at = now
        try:
            self._keys = self._read()
            self._fetched_at = now
        except Unavailable:
            if age is None or age > STALE_SECONDS:
                raise

    def _read(self) -> dict[str | None, dict[str, Any]]:
        url = self._issuer.jwks_uri or self._discover()
        usable: dict[str | None, dict[str, Any]] = {}
        for key in self._document(url, _KeySet).keys[:MAX_KEYS]:
            if key.get("kty") in _KINDS.values() and key.get("use", "sig") == "sig":
                name = key.get("kid")
                usable.setdefault(name if isinstance(name, str) else None, key)
        return usable

    def _discover(self) -> str:
        url = self._issuer.discovery_url
        document = self._document(url, _Discovery)
        if document.issuer != self._issuer.issuer:
            raise Unavailable(f"{url} is of another issuer")
        try:
            check_url("jwks_uri", document.jwks_uri)
        except InvalidInput as error:
            raise Unavailable(f"{url}: {error.message}") from error
        return document.jwks_uri

    def _document(self, url: str, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(self._fetch(url), type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Unavailable(f"{url} cannot be read: {error}") from error


def _key(document: dict[str, Any], algorithm: str) -> jwt.PyJWK:
    """Return the key for `algorithm`. Raises NotAuthenticated when it was not made for that."""
    stated = document.get("alg")
    fits = document.get("kty") == _KINDS.get(algorithm[:2]) and stated in {None, algorithm}
    if fits and algorithm in _CURVES:
        fits = document.get("crv") == _CURVES[algorithm]
    if not fits:
        raise NotAuthenticated(f"the key is not one for {algorithm}")
    try:
        key = jwt.PyJWK(document, algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        raise NotAuthenticated(f"the issuer's key cannot be read: {type(error).__name__}") from error
    if document.get("kty") == "RSA" and key.key.key_size < MIN_RSA_BITS:
        raise NotAuthenticated(f"the issuer's RSA key is shorter than {MIN_RSA_BITS} bits")
    return key
