"""Webhooks: who is told of events, how the deliveries go, and sending again."""

from __future__ import annotations

from typing import Annotated

from litestar import Router, delete, get, post
from litestar.params import BodyKwarg, JSONBody, QueryParameter

from planner.api.parameters import Cursor, Limit, Name, ServiceParameter
from planner.domain.listing import Page
from planner.domain.webhook import Delivery, DeliveryState, Webhook
from planner.wire.page import DEFAULT_LIMIT
from planner.wire.webhooks import CreatedWebhook, NewWebhook, Replayed, ReplayRequest

WebhookPage = Annotated[Page[Webhook], BodyKwarg(schema_component_key="WebhookPage")]
DeliveryPage = Annotated[Page[Delivery], BodyKwarg(schema_component_key="DeliveryPage")]


@get("/webhooks", operation_id="listWebhooks", summary="List webhooks, the oldest first", sync_to_thread=True)
def list_webhooks(
    service: ServiceParameter, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> WebhookPage:
    """Return a page of webhooks, without their secrets."""
    return service.webhooks(limit=limit, cursor=cursor)


@post(
    "/webhooks",
    operation_id="addWebhook",
    summary="Have an address told of events",
    description="The reply holds the secret that messages are signed with. It is not shown again.",
    sync_to_thread=True,
)
def add_webhook(service: ServiceParameter, data: JSONBody[NewWebhook]) -> CreatedWebhook:
    """Add a webhook."""
    return service.add_webhook(data)


@delete(
    "/webhooks/{webhook_id:str}",
    operation_id="removeWebhook",
    summary="Remove a webhook with its deliveries",
    status_code=200,
    sync_to_thread=True,
)
def remove_webhook(service: ServiceParameter, webhook_id: Name) -> Webhook:
    """Remove a webhook and return what it was."""
    return service.remove_webhook(webhook_id)


@post(
    "/webhooks/{webhook_id:str}/pause",
    operation_id="pauseWebhook",
    summary="Stop telling a webhook; what is pending waits",
    status_code=200,
    sync_to_thread=True,
)
def pause_webhook(service: ServiceParameter, webhook_id: Name) -> Webhook:
    """Pause a webhook."""
    return service.set_webhook_active(webhook_id, active=False)


@post(
    "/webhooks/{webhook_id:str}/resume",
    operation_id="resumeWebhook",
    summary="Tell a paused webhook of events again",
    status_code=200,
    sync_to_thread=True,
)
def resume_webhook(service: ServiceParameter, webhook_id: Name) -> Webhook:
    """Resume a webhook."""
    return service.set_webhook_active(webhook_id, active=True)


@post(
    "/webhooks/{webhook_id:str}/test",
    operation_id="testWebhook",
    summary="Send a test message now and say what became of it",
    status_code=200,
    sync_to_thread=True,
)
def test_webhook(service: ServiceParameter, webhook_id: Name) -> Delivery:
    """Try a webhook."""
    return service.test_webhook(webhook_id)


@get(
    "/webhooks/{webhook_id:str}/deliveries",
    operation_id="listDeliveries",
    summary="List a webhook's deliveries, those of the newest events first",
    sync_to_thread=True,
)
def list_deliveries(
    service: ServiceParameter,
    webhook_id: Name,
    in_state: Annotated[
        DeliveryState | None, QueryParameter(name="state", description="Only those in this state.")
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> DeliveryPage:
    """Return a page of deliveries."""
    return service.webhook_deliveries(webhook_id, state=in_state, limit=limit, cursor=cursor)


@post(
    "/webhooks/{webhook_id:str}/replay",
    operation_id="replayWebhook",
    summary="Deliver past events again: one by its id, or those since a moment",
    status_code=200,
    sync_to_thread=True,
)
def replay_webhook(service: ServiceParameter, webhook_id: Name, data: JSONBody[ReplayRequest]) -> Replayed:
    """Have events delivered again."""
    return service.replay_webhook(webhook_id, data)


router = Router(
    "/",
    route_handlers=[
        list_webhooks,
        add_webhook,
        remove_webhook,
        pause_webhook,
        resume_webhook,
        test_webhook,
        list_deliveries,
        replay_webhook,
    ],
    tags=["Webhooks"],
)
