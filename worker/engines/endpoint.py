"""An OpenAI-compatible server as a target: where it is, what it serves, and which runtime it says it is."""

from __future__ import annotations

import os
import re
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httpx
import msgspec

from planner.domain.runtime import canonical
from planner.errors import InvalidInput, Unavailable

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_MAX_ANSWER_BYTES: Final = 2**20
OK: Final = 200
_CONNECT_SECONDS: Final = 10.0
_ASK_SECONDS: Final = 30.0


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server to measure is asked for, and what only the asker knows about it.

    `url` is the server's root, with or without `/v1`. `token_variable` names the environment variable that holds the bearer
    token; it is sent only where it is set.
    """

    url: str
    model: str
    api: Literal["completions", "chat"] = "completions"
    token_variable: str = "OPENAI_API_KEY"  # noqa: S105  a variable's name
    runtime: str | None = None
    """Name of the runtime; None asks the server."""
    runtime_version: str | None = None
    device_id: str | None = None
    """Device type it runs on; None is this machine's, for a server on this machine."""
    devices: int = 1
    """How many devices of the type run one copy of the model together."""
    request_limit_seconds: float = 600.0
    silence_limit_seconds: float = 120.0
    """Longest time without a byte of the answer."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
            raise InvalidInput(
                "endpoint.url", f"`{self.url}` is not a server's address", allowed="http(s)://host[:port]"
            )
        if not self.model:
            raise InvalidInput("endpoint.model", "is empty", allowed="the name that the server knows it by")
        if not _NAME.fullmatch(self.token_variable):
            raise InvalidInput(
                "endpoint.token_variable",
                f"`{self.token_variable}` is not a name",
                allowed="letters, digits, _",
            )
        if not 1 <= self.devices <= 1024:
            raise InvalidInput("endpoint.devices", f"{self.devices} is out of range", allowed="1 to 1024")
        for field in ("request_limit_seconds", "silence_limit_seconds"):
            if not 0 < getattr(self, field) <= 86_400:
                raise InvalidInput(f"endpoint.{field}", "is out of range", allowed="above 0, at most 86400")
        if self.device_id is None and not self.is_local:
            raise InvalidInput(
                "endpoint.device_id",
                "is needed for a server on another machine",
                allowed="the id of a device type, such as those of `planner devices`",
            )

    @property
    def root(self) -> str:
        """The address without `/v1`."""
        return self.url.rstrip("/").removesuffix("/v1").rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        return urlsplit(self.url).hostname in LOOPBACK

    def client(self, connections: int) -> httpx.Client:
        """Return a client for so many requests at once. Proxies of the environment are not used: they would be measured."""
        headers = {"accept-encoding": "identity", "accept": "text/event-stream, application/json"}
        token = os.environ.get(self.token_variable)
        if token:
            headers["authorization"] = f"Bearer {token}"
        return httpx.Client(
            base_url=self.root,
            headers=headers,
            timeout=httpx.Timeout(self.silence_limit_seconds, connect=_CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=False,
            follow_redirects=False,
        )


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says of itself; None where it does not."""

    runtime: str | None
    version: str | None
    max_context: int | None
    headers: dict[str, str]


def ask_server(endpoint: Endpoint, client: httpx.Client) -> Served:
    """Return what the server says of itself.

    Raises Unavailable when it does not answer, InvalidInput when it does not serve the model or wants a token.
    """
    answer, headers = _get(client, "/v1/models", needed=True)
    listed = answer.get("data") if isinstance(answer, dict) else None
    models = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    names = [str(item.get("id")) for item in models]
    card = next((item for item in models if item.get("id") == endpoint.model), {})
    # A server may load on demand what it does not list, so only a list of one other model is a contradiction.
    if len(names) == 1 and not card and str(models[0].get("owned_by")).lower() in {"vllm", "sglang"}:
        raise InvalidInput("endpoint.model", f"the server has no `{endpoint.model}`", allowed=names[0])
    runtime, version = _runtime(client, card or (models[0] if models else {}), headers)
    limit = card.get("max_model_len")
    return Served(
        runtime=canonical(endpoint.runtime) if endpoint.runtime else runtime,
        version=endpoint.runtime_version
        or (version if not endpoint.runtime or runtime == canonical(endpoint.runtime) else None),
        max_context=limit if isinstance(limit, int) and limit > 0 else None,
        headers={name: headers[name][:100] for name in ("server", "x-powered-by") if name in headers},
    )


def _runtime(
    client: httpx.Client, card: dict[str, Any], headers: dict[str, str]
) -> tuple[str | None, str | None]:
    """Return runtime and version, as far as the server tells: who owns the model, its header, its version's page."""
    owner = str(card.get("owned_by", "")).lower()
    if owner == "llamacpp" or "llama.cpp" in headers.get("server", "").lower():
        properties, _ = _get(client, "/props")
        return "llama.cpp", _text(properties, "build_info")
    if owner == "sglang":
        facts, _ = _get(client, "/get_server_info")
        return "sglang", _text(facts, "version")
    version, _ = _get(client, "/version")
    if owner == "vllm" or _text(version, "version"):
        return "vllm", _text(version, "version")
    return None, None


def _text(answer: Any, field: str) -> str | None:
    value = answer.get(field) if isinstance(answer, dict) else None
    return value[:100] if isinstance(value, str) and value else None


def _get(client: httpx.Client, path: str, *, needed: bool = False) -> tuple[Any, dict[str, str]]:
    """Return the decoded JSON of a page and its headers; None where there is no such page and it is not needed."""
    try:
        with client.stream("GET", path, timeout=_ASK_SECONDS) as response:
            content = b""
            for piece in response.iter_raw():
                content += piece
                if len(content) > _MAX_ANSWER_BYTES:
                    break
            status, headers = response.status_code, dict(response.headers)
    except httpx.HTTPError as error:
        if needed:
            raise Unavailable(
                f"no server answers at {client.base_url}: {error or type(error).__name__}"
            ) from error
        return None, {}
    if status in {401, 403}:
        raise InvalidInput(
            "endpoint", f"the server refuses us: HTTP {status}", allowed="a token in the environment variable"
        )
    if status != OK:
        return None, headers
    try:
        return msgspec.json.decode(content), headers
    except msgspec.DecodeError:
        return None, headers
