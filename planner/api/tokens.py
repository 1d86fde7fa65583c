"""Tokens, who registered what, and signatures."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, Router, get, post
from litestar.params import BodyKwarg, JSONBody, PathParameter

from planner.api.parameters import MAX_TEXT, Cursor, Limit, ServiceParameter, Text, VariantName
from planner.domain.identity import RegistrationRecord, SignatureRecord, Token
from planner.domain.listing import Page
from planner.wire.identity import NewToken, SignatureList, SignatureRequest, TokenRequest
from planner.wire.page import DEFAULT_LIMIT

TokenPage = Annotated[Page[Token], BodyKwarg(schema_component_key="TokenPage")]
RegistrationPage = Annotated[Page[RegistrationRecord], BodyKwarg(schema_component_key="RegistrationPage")]
TokenName = Annotated[
    str, PathParameter(max_length=MAX_TEXT, description="A token's id, label or first characters as shown.")
]


@get("/tokens", operation_id="listTokens", summary="List tokens, newest first", sync_to_thread=True)
def list_tokens(service: ServiceParameter, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> TokenPage:
    """Return a page of tokens, without their secrets."""
    return service.tokens(limit=limit, cursor=cursor)


@post(
    "/tokens",
    operation_id="createToken",
    summary="Make a token",
    description="The reply holds the secret, which is not kept and not shown again.",
    sync_to_thread=True,
)
def create_token(service: ServiceParameter, data: JSONBody[TokenRequest]) -> Response[NewToken]:
    """Make a token."""
    return Response(service.create_token(data), status_code=201, headers={"Cache-Control": "no-store"})


@post(
    "/tokens/{name:str}/revoke",
    operation_id="revokeToken",
    summary="End a token for good",
    status_code=200,
    sync_to_thread=True,
)
def revoke_token(service: ServiceParameter, name: TokenName) -> Token:
    """Revoke a token."""
    return service.revoke_token(name)


@get(
    "/registrations",
    operation_id="listRegistrations",
    summary="List who handed in which variant, and from which run of which pipeline, newest first",
    sync_to_thread=True,
)
def list_registrations(
    service: ServiceParameter, variant: Text = None, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> RegistrationPage:
    """Return a page of registrations."""
    return service.registrations(variant=variant, limit=limit, cursor=cursor)


@get(
    "/signatures",
    operation_id="listSignatures",
    summary="List the signatures of a variant, newest first",
    description="Each bundle is a file: read it by its sha256 under /artifacts.",
    sync_to_thread=True,
)
def list_signatures(service: ServiceParameter, variant: VariantName) -> SignatureList:
    """Return the signatures of a variant."""
    return SignatureList(
        variant_id=service.variant(variant).id, signatures=tuple(service.signatures(variant))
    )


@post(
    "/signatures",
    operation_id="addSignature",
    summary="Keep a signature bundle beside a variant",
    description="The bundle must be over exactly the variant's files. Whether the signature holds is checked at fetch.",
    status_code=201,
    sync_to_thread=True,
)
def add_signature(service: ServiceParameter, data: JSONBody[SignatureRequest]) -> SignatureRecord:
    """Keep a signature."""
    return service.add_signature(data.variant, data.bundle.encode())


router = Router(
    "/",
    route_handlers=[
        list_tokens,
        create_token,
        revoke_token,
        list_registrations,
        list_signatures,
        add_signature,
    ],
    tags=["Identity"],
)
