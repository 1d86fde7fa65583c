"""What the container files promise of a worker that is told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from planner.domain.units import parse_seconds

ROOT = Path(__file__).parents[2]


def _compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    return found


def test_a_worker_that_is_stopped_has_time_to_finish_its_job():
    """Ten seconds, as without it, would kill every job; stopping is SIGTERM, which drains."""
    grace = parse_seconds(_compose()["services"]["worker"]["stop_grace_period"], field="stop_grace_period")
    assert grace >= 3600
    assert "STOPSIGNAL SIGTERM" in (ROOT / "docker" / "worker.Dockerfile").read_text()


def test_the_worker_itself_gets_the_signal_and_not_a_shell():
    assert isinstance(_compose()["services"]["worker"]["command"], list)
    assert 'ENTRYPOINT ["worker"]' in (ROOT / "docker" / "worker.Dockerfile").read_text()
