"""What a stock `hf download` prints of a variant that was yanked, and of one that was quarantined."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from planner.client import Client
from planner.domain.lifecycle import LifecycleState
from planner.wire.lifecycle import SetState
from tests.hub.conftest import Served

pytest.importorskip("huggingface_hub")


def hf_download(served: Served, home: Path, repository: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": served.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    hf = Path(sys.executable).parent / "hf"
    return subprocess.run(
        [hf, "download", repository, "--local-dir", str(home / "files")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_yanked_variant_is_downloaded_with_the_reason_and_a_quarantined_one_refused_with_it(
    served, tmp_path
):
    variant = served.builds["tiny"]
    repository = f"{variant.model_id}/{variant.name}"
    with Client(served.url) as client:
        client.set_state(variant.id, SetState(state=LifecycleState.YANKED, reason="wrong tokenizer"))
        done = hf_download(served, tmp_path / "yanked", repository)
        assert done.returncode == 0, done.stderr
        assert f"{repository} is yanked: wrong tokenizer" in done.stderr
        assert (tmp_path / "yanked" / "files" / "config.json").is_file()
        pulled = client.downloads(state=LifecycleState.YANKED).items
        assert [row.variant_id for row in pulled] == [variant.id]
        client.set_state(variant.id, SetState(state=LifecycleState.QUARANTINED, reason="runs code"))
        done = hf_download(served, tmp_path / "quarantined", repository)
        assert done.returncode != 0
        assert f"{repository} is quarantined: runs code" in done.stdout + done.stderr
        assert not (tmp_path / "quarantined" / "files" / "config.json").exists()
        client.set_state(variant.id, SetState(state=LifecycleState.ACTIVE, reason="checked"))
        assert hf_download(served, tmp_path / "active", repository).returncode == 0
