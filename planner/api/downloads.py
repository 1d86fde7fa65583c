"""The log of what was handed out through the Hugging Face endpoint."""

from __future__ import annotations

from litestar import Router, get

from planner.api.parameters import Cursor, DownloadPage, Limit, ServiceParameter, Text
from planner.wire.page import DEFAULT_LIMIT


@get(
    "/downloads",
    operation_id="listDownloads",
    summary="List what stock clients were served, newest first",
    sync_to_thread=True,
)
def list_downloads(
    service: ServiceParameter, variant: Text = None, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> DownloadPage:
    """Return a page of downloads."""
    return service.downloads(variant=variant, limit=limit, cursor=cursor)


router = Router("/", route_handlers=[list_downloads], tags=["Artifacts"])
