"""What handlers of the Hugging Face protocol share: the address they were reached by, and answers in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.di import NamedDependency

from planner.api.hub_address import Address
from planner.api.hub_errors import no_repository
from planner.api.hub_view import HubView

PREFIX: Final = "/api/hub"
STATE: Final = "hub_address"
"""Key in a request's state under which its address is."""

HubRequest = Request[Any, Any, Any]
View = NamedDependency[HubView]
Where = NamedDependency[Address]


def address_of(request: HubRequest) -> Address:
    """Return the address that a request was made to. Raises Refusal for one that was routed past the protocol."""
    address: Address | None = request.state.get(STATE)
    if address is None:
        raise no_repository(request.url.path)
    return address


def base_url(request: HubRequest) -> str:
    """Return where clients reach this server: scheme, host and port, as they said it."""
    return f"{request.url.scheme}://{request.headers.get('host', '')}"


def json_response(
    content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    """Return an answer in JSON that nobody keeps."""
    sent = {"Cache-Control": "no-store", **(headers or {})}
    return Response(
        msgspec.json.encode(content), media_type="application/json", headers=sent, status_code=status
    )
