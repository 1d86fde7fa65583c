"""The log of what was handed out through the Hugging Face endpoint."""

from __future__ import annotations

from typing import Annotated

from litestar import Router, get
from litestar.params import QueryParameter

from planner.api.parameters import Cursor, DownloadPage, Limit, ServiceParameter, Text
from planner.domain.lifecycle import LifecycleState
from planner.wire.page import DEFAULT_LIMIT


@get(
    "/downloads",
    operation_id="listDownloads",
    summary="List what stock clients were served, newest first",
    sync_to_thread=True,
)
def list_downloads(
    service: ServiceParameter,
    variant: Text = None,
    variant_state: Annotated[
        LifecycleState | None,
        QueryParameter(
            name="state", description="Only of variants in this state now: who still pulls what was yanked."
        ),
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> DownloadPage:
    """Return a page of downloads."""
    return service.downloads(variant=variant, state=variant_state, limit=limit, cursor=cursor)


router = Router("/", route_handlers=[list_downloads], tags=["Artifacts"])
