"""Base models."""

from __future__ import annotations

from litestar import Router, get

from planner.api.parameters import Cursor, Limit, ModelPage, Name, Search, ServiceParameter, Text
from planner.domain.model import Model
from planner.wire.page import DEFAULT_LIMIT


@get("/models", operation_id="listModels", summary="List base models", sync_to_thread=True)
def list_models(
    service: ServiceParameter,
    search: Search = None,
    family: Text = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> ModelPage:
    """Return a page of base models, by id."""
    return service.models(search=search, family=family, limit=limit, cursor=cursor)


@get(
    "/models/{name:path}",
    operation_id="getModel",
    summary="Return one base model by id, name or hub id",
    sync_to_thread=True,
)
def get_model(service: ServiceParameter, name: Name) -> Model:
    """Return a base model."""
    return service.model(name.strip("/"))


router = Router("/", route_handlers=[list_models, get_model], tags=["Models"])
