from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from planner.domain.job_requirement import unmet
from worker import capabilities

pytestmark = pytest.mark.worker
torch = pytest.importorskip("torch")


def test_this_machine_states_its_memory_and_libraries() -> None:
    stated = capabilities.detect_capabilities()
    assert {"cpu", "library:torchao"} <= stated
    total = psutil.virtual_memory().total
    assert unmet((f"ram<={total}B", f"ram>={min(total, 2**29)}B"), stated) == ()
    assert unmet(("library:no-such-library",), stated) == ("library:no-such-library",)
    assert any(word.startswith("device:cpu:") for word in stated)


def test_libraries_are_found_without_being_imported() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from worker.capabilities import installed_libraries; "
        "found = installed_libraries(); print('torchao' in found, 'torchao' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_a_container_states_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(capabilities, "_GROUP_LIMIT", limit)
    limit.write_text("1610612736\n")
    assert "ram:1.5GiB" in capabilities.detect_capabilities()
    limit.write_text("max\n")
    assert "ram:1.5GiB" not in capabilities.detect_capabilities()


def test_a_gpu_is_stated_with_memory_capability_and_every_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's answers for two H200 cards; what is made of them is under test."""
    card = SimpleNamespace(
        name="NVIDIA H200", total_memory=150_754_820_096, major=9, minor=0, is_integrated=False
    )
    cuda: Any = torch.cuda
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "device_count", lambda: 2)
    monkeypatch.setattr(cuda, "get_device_properties", lambda device: card)
    stated = capabilities.detect_capabilities()
    assert {"cuda", "gpus:2", "cc:9.0", "vram:140.4GiB"} <= stated
    assert unmet(("vram>=140GiB", "cc>=8.9", "gpus>=2", "device:h200"), stated) == ()
    assert unmet(("vram>=141GiB",), stated) == ("vram>=141GiB",)
