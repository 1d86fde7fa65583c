"""Variants: filtered, sorted pages, and registration by manifest."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, Router, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, QueryParameter

from planner.api.parameters import MAX_TEXT, Cursor, Limit, Name, Search, ServiceParameter, VariantPage
from planner.domain.listing import VariantFilter, VariantSort
from planner.domain.units import MAX_BYTES
from planner.domain.variant import FileFormat, Variant
from planner.wire.page import DEFAULT_LIMIT
from planner.wire.problem import MEDIA_TYPE, Problem
from planner.wire.replies import Registration
from planner.wire.requests import Manifest

Bits = Annotated[
    int | None,
    QueryParameter(ge=1, le=64, description="Nominal bits of a weight: 4 for int4-g128 and q4_k_m."),
]


@get("/variants", operation_id="listVariants", summary="List, filter and sort variants", sync_to_thread=True)
def list_variants(
    *,
    service: ServiceParameter,
    model: Annotated[str | None, QueryParameter(max_length=MAX_TEXT, description="Model id or name.")] = None,
    scheme: Annotated[
        str | None,
        QueryParameter(max_length=MAX_TEXT, description="Any word of the scheme: int4, 4bit, awq, w8a8 …"),
    ] = None,
    file_format: Annotated[FileFormat | None, QueryParameter(name="format")] = None,
    fetchable: Annotated[
        bool | None, QueryParameter(description="Only those whose files are (not) in the store.")
    ] = None,
    max_weight_bytes: Annotated[int | None, QueryParameter(ge=1, le=MAX_BYTES)] = None,
    min_bits: Bits = None,
    max_bits: Bits = None,
    max_loss: Annotated[
        float | None,
        QueryParameter(ge=-1, le=1, description="Relative loss over all tasks, as a fraction: 0.01 for 1 %."),
    ] = None,
    search: Search = None,
    sort: Annotated[VariantSort, QueryParameter(description="Order of the list.")] = VariantSort.NAME,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> VariantPage:
    """Return a page of variants with their best-known loss."""
    wanted = VariantFilter(
        model=model,
        scheme=scheme,
        format=file_format,
        fetchable=fetchable,
        max_weight_bytes=max_weight_bytes,
        min_bits=min_bits,
        max_bits=max_bits,
        max_loss=max_loss,
        search=search,
    )
    return service.variants(wanted, sort=sort, limit=limit, cursor=cursor)


@get(
    "/variants/{name:path}",
    operation_id="getVariant",
    summary="Return one variant by id, unique prefix of it, name, `model/name` or alias",
    sync_to_thread=True,
)
def get_variant(service: ServiceParameter, name: Name) -> Variant:
    """Return a variant with its files and provenance."""
    return service.variant(name.strip("/"))


@post(
    "/variants",
    operation_id="registerVariant",
    summary="Register files whose bytes were uploaded",
    description=(
        "201 when the variant is new, 200 when the same bytes were registered before or in a dry run, "
        "409 naming the files whose bytes are missing."
    ),
    responses={
        200: ResponseSpec(Registration, description="Nothing was changed", generate_examples=False),
        409: ResponseSpec(
            Problem, description="Bytes are missing", media_type=MEDIA_TYPE, generate_examples=False
        ),
    },
    sync_to_thread=True,
)
def register_variant(service: ServiceParameter, data: JSONBody[Manifest]) -> Response[Registration]:
    """Register a manifest."""
    registration = service.register_manifest(data)
    changed = registration.created and not registration.dry_run
    headers = {"Location": f"/api/v1/variants/{registration.digest}"} if changed else None
    return Response(registration, status_code=201 if changed else 200, headers=headers)


router = Router("/", route_handlers=[list_variants, get_variant, register_variant], tags=["Variants"])
