"""Prometheus metrics at /metrics, with paths grouped by route so that their number stays bounded."""

from __future__ import annotations

from typing import Final

from litestar.plugins.prometheus import PrometheusConfig, PrometheusController
from prometheus_client import Counter

REFUSED: Final = Counter(
    "planner_requests_refused",
    "Requests refused before they were routed: for want of a token that works and allows it, or for too many that do not.",
    ["method", "code"],
)
"""Those never reach the middleware that counts what was routed. `code` is the error's."""
_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})


def count_refused(method: str, code: str) -> None:
    """Count a refusal. Methods that nobody serves are one, so that what is sent cannot make series without end."""
    REFUSED.labels(method=method if method in _METHODS else "other", code=code).inc()


class MetricsController(PrometheusController):
    """Exposes the process's metrics."""

    path = "/metrics"
    include_in_schema = False


def metrics_config() -> PrometheusConfig:
    """Return the configuration of the request metrics."""
    return PrometheusConfig(
        app_name="variant-planner", prefix="planner", group_path=True, exclude=["^/metrics"]
    )
