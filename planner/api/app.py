"""create_app(settings): the only place where the server is put together."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide

from planner.api import (
    aliases,
    artifacts,
    badge,
    batch,
    dashboard,
    deploy,
    devices,
    downloads,
    evidence,
    explaining,
    fleet,
    gates,
    health,
    hub,
    hub_commit,
    hub_lfs,
    hub_view,
    hub_write,
    hub_xet,
    imports,
    jobs,
    lifecycle,
    models,
    oauth,
    plans,
    recommend,
    references,
    retention,
    tokens,
    training,
    variants,
    webhooks,
    whoami,
    workers,
)
from planner.api.authentication import protect
from planner.api.decoding import StrictRequest
from planner.api.errors import HANDLERS
from planner.api.failure_limit import FailureLimit
from planner.api.fencing import check_lease
from planner.api.metrics import MetricsController, metrics_config
from planner.api.openapi import StructSchemas, openapi_config
from planner.api.queries import check_query
from planner.api.safety import add_headers, check_media_type, check_origin, host_guard
from planner.settings import Settings
from planner.wire.service import Service

if TYPE_CHECKING:
    from planner.workspace import Workspace
    from planner.workspace.webhook_delivery import Courier

THREADS: Final = 16
"""Handlers that run at once; most of them wait for the database."""
UPLOAD_THREADS: Final = 8
"""Uploads that are written at once; more of them wait."""
MAX_BODY_BYTES: Final = 32 * 1024**2
"""Largest JSON body: an evaluation with some hundred thousand paired documents."""


def create_app(
    settings: Settings,
    *,
    service: Service | None = None,
    max_artifact_bytes: int | None = None,
    freeze: bool = False,
) -> Litestar:
    """Return the server's ASGI application.

    It opens the workspace that `settings` describe when it starts and closes it when it stops; a `service` that is given
    stays the caller's to close. `freeze` moves everything made until then out of the garbage collector's sight, whose
    walks over it were the p99 of requests; it is meant for processes that do nothing but serve.
    """

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None]:
        executor = ThreadPoolExecutor(THREADS, thread_name_prefix="handler")
        asyncio.get_running_loop().set_default_executor(executor)
        app.state.upload_threads = ThreadPoolExecutor(UPLOAD_THREADS, thread_name_prefix="upload")
        opened = await asyncio.to_thread(_open, settings) if service is None else None
        courier = None if opened is None else _courier(opened)
        app.state.service = service if opened is None else opened
        if freeze:
            gc.collect()
            gc.freeze()
        try:
            yield
        finally:
            app.state.upload_threads.shutdown(wait=False, cancel_futures=True)
            if courier is not None:
                await asyncio.to_thread(courier.stop)
            if opened is not None:
                await asyncio.to_thread(opened.close)

    def provide_service(state: State) -> Service:
        opened: Service = state.service
        return opened

    def provide_upload_threads(state: State) -> Executor:
        threads: Executor = state.upload_threads
        return threads

    built = dashboard.Dashboard(dashboard.find_folder())
    view = hub_view.HubView()
    failures = FailureLimit()
    v1 = Router(
        "/api/v1",
        route_handlers=[
            recommend.router,
            batch.router,
            fleet.router,
            training.router,
            plans.router,
            explaining.router,
            deploy.router,
            models.router,
            references.router,
            variants.router,
            artifacts.router,
            devices.router,
            evidence.router,
            imports.router,
            jobs.router,
            workers.router,
            aliases.router,
            downloads.router,
            webhooks.router,
            lifecycle.router,
            retention.router,
            gates.router,
            health.router,
            tokens.router,
            whoami.router,
        ],
        guards=[check_query, check_lease],
    )
    app = Litestar(
        route_handlers=[
            v1,
            hub.router,
            hub_write.router,
            hub_commit.router,
            hub_lfs.router,
            hub_xet.token_router,
            hub_xet.router,
            oauth.router,
            badge.badge,
            MetricsController,
            dashboard.router,
        ],
        lifespan=[lifespan],
        dependencies={
            "service": Provide(provide_service, sync_to_thread=False),
            "upload_threads": Provide(provide_upload_threads, sync_to_thread=False),
            "dashboard": Provide(lambda: built, sync_to_thread=False),
            "auth_mode": Provide(lambda: settings.auth, sync_to_thread=False),
            "failure_limit": Provide(lambda: failures, sync_to_thread=False),
            "hub_view": Provide(lambda: view, sync_to_thread=False),
            "max_artifact_bytes": Provide(
                lambda: max_artifact_bytes or settings.max_file_bytes, sync_to_thread=False
            ),
            "upload_part_bytes": Provide(lambda: settings.upload_part_bytes, sync_to_thread=False),
        },
        exception_handlers=HANDLERS,
        guards=[host_guard(settings.host, settings.allowed_hosts), check_origin, check_media_type],
        before_send=[add_headers],
        middleware=[metrics_config().middleware],
        openapi_config=openapi_config(),
        plugins=[StructSchemas()],
        request_class=StrictRequest,
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,
        debug=False,
    )
    app.asgi_handler = protect(hub.read_addresses(app.asgi_handler), app.state, settings, failures)
    return app


def _open(settings: Settings) -> Workspace:
    from planner.workspace import Workspace  # noqa: PLC0415 - the description of the API needs no database

    workspace = Workspace(settings)
    workspace.snapshots.current()
    _ = workspace.publishers  # what is wrong with the file is said at the start, not to the first pipeline
    return workspace


def _courier(workspace: Workspace) -> Courier:
    from planner.workspace.webhook_delivery import Courier  # noqa: PLC0415 - as above

    courier = Courier(workspace)
    courier.start()
    return courier
