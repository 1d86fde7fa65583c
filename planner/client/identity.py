"""The client's part about tokens, registrations and signatures: the methods of `planner.wire.identity.Identity`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from planner.client.calls import PREFIX, Call, segment
from planner.domain.identity import RegistrationRecord, SignatureRecord, Token
from planner.domain.listing import Page
from planner.errors import InvalidInput
from planner.wire.identity import NewToken, SignatureList, SignatureRequest, TokenRequest
from planner.wire.page import DEFAULT_LIMIT

T = TypeVar("T")


class Identity(ABC):
    """Implements `planner.wire.identity.Identity` over HTTP."""

    @abstractmethod
    def send(self, call: Call[T]) -> T:
        """Send `call` and return its answer."""

    def create_token(self, request: TokenRequest) -> NewToken:
        """Make a token; not retried, since each try would make one."""
        call: Call[NewToken] = Call(
            method="POST",
            path=f"{PREFIX}/tokens",
            answer=NewToken,
            parameters={},
            body=msgspec.json.encode(request),
            repeatable=False,
        )
        return self.send(call)

    def tokens(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Token]:
        """Return tokens, the newest first."""
        call: Call[Page[Token]] = Call(
            method="GET", path=f"{PREFIX}/tokens", answer=Page[Token], parameters=_page(limit, cursor)
        )
        return self.send(call)

    def revoke_token(self, name: str) -> Token:
        """End a token."""
        call: Call[Token] = Call(
            method="POST",
            path=f"{PREFIX}/tokens/{segment('token', name)}/revoke",
            answer=Token,
            parameters={},
        )
        return self.send(call)

    def registrations(
        self, *, variant: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[RegistrationRecord]:
        """Return who handed in which variant."""
        asked = {} if variant is None else {"variant": variant}
        call: Call[Page[RegistrationRecord]] = Call(
            method="GET",
            path=f"{PREFIX}/registrations",
            answer=Page[RegistrationRecord],
            parameters={**asked, **_page(limit, cursor)},
        )
        return self.send(call)

    def add_signature(self, variant: str, bundle: bytes) -> SignatureRecord:
        """Hand in a signature bundle."""
        try:
            body = SignatureRequest(variant=variant, bundle=bundle.decode())
        except UnicodeDecodeError as error:
            raise InvalidInput(
                "bundle", "is not UTF-8", allowed="the JSON text of a sigstore bundle"
            ) from error
        call: Call[SignatureRecord] = Call(
            method="POST",
            path=f"{PREFIX}/signatures",
            answer=SignatureRecord,
            parameters={},
            body=msgspec.json.encode(body),
        )
        return self.send(call)

    def signatures(self, variant: str) -> Sequence[SignatureRecord]:
        """Return the signatures of a variant."""
        call: Call[SignatureList] = Call(
            method="GET", path=f"{PREFIX}/signatures", answer=SignatureList, parameters={"variant": variant}
        )
        return self.send(call).signatures


def _page(limit: int, cursor: str | None) -> dict[str, str]:
    return {"limit": str(limit), **({} if cursor is None else {"cursor": cursor})}
