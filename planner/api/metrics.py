"""Prometheus metrics at /metrics, with paths grouped by route so that their number stays bounded."""

from __future__ import annotations

from litestar.plugins.prometheus import PrometheusConfig, PrometheusController


class MetricsController(PrometheusController):
    """Exposes the process's metrics."""

    path = "/metrics"
    include_in_schema = False


def metrics_config() -> PrometheusConfig:
    """Return the configuration of the request metrics."""
    return PrometheusConfig(
        app_name="variant-planner", prefix="planner", group_path=True, exclude=["^/metrics"]
    )
