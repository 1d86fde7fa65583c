"""Which files are kept: retention policies, pins, and the collection of files that nothing needs."""

from __future__ import annotations

from litestar import Router, delete, get, post
from litestar.params import JSONBody

from planner.api.parameters import Cursor, Limit, Name, PinPage, ServiceParameter, Text
from planner.domain.pin import Pin
from planner.wire.page import DEFAULT_LIMIT
from planner.wire.retention import (
    Collected,
    CollectRequest,
    PinRequest,
    RetentionReport,
    RetentionRequest,
)


@post(
    "/admin/retention",
    operation_id="applyRetention",
    summary="Apply a retention policy, or say what it would do",
    status_code=200,
    sync_to_thread=True,
)
def apply_retention(service: ServiceParameter, data: JSONBody[RetentionRequest]) -> RetentionReport:
    """Decide on every variant, and mark those that nothing keeps as deleted unless `dry_run`, which is the default."""
    return service.retention(data)


@post(
    "/admin/collection",
    operation_id="collectFiles",
    summary="Remove files that nothing names, for a bounded time",
    status_code=200,
    sync_to_thread=True,
)
def collect_files(service: ServiceParameter, data: JSONBody[CollectRequest]) -> Collected:
    """Do one round of a collection; send `next_after` as `after` for the next one until it is null."""
    return service.collect(data)


@get("/pins", operation_id="listPins", summary="List pinned variants", sync_to_thread=True)
def list_pins(
    service: ServiceParameter, variant: Text = None, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> PinPage:
    """Return a page of pins, the oldest first."""
    return service.pins(variant=variant, limit=limit, cursor=cursor)


@post(
    "/pins",
    operation_id="pinVariant",
    summary="Keep a variant's files whatever a retention policy says",
    sync_to_thread=True,
)
def pin_variant(service: ServiceParameter, data: JSONBody[PinRequest]) -> Pin:
    """Pin a variant; the same pin again changes nothing."""
    return service.pin(data)


@delete(
    "/pins/{name:str}",
    operation_id="unpinVariant",
    summary="Take a pin away",
    status_code=200,
    sync_to_thread=True,
)
def unpin_variant(service: ServiceParameter, name: Name) -> Pin:
    """Take the pin with this id away and return it."""
    return service.unpin(name)


router = Router(
    "/",
    route_handlers=[apply_retention, collect_files, list_pins, pin_variant, unpin_variant],
    tags=["Retention"],
)
