from __future__ import annotations

import time

import numpy as np
import pytest
import torch

import worker.measure.memory
from worker.measure.memory import PeakMemory, PeakResident, release_free_memory, resident_bytes

pytestmark = pytest.mark.worker
MIB = 2**20


def _touch(mebibytes: int) -> None:
    block = np.ones(mebibytes * MIB, dtype=np.uint8)
    time.sleep(0.05)
    del block


@pytest.mark.parametrize("reset", [True, False], ids=["high-water mark", "sampled"])
def test_memory_that_was_freed_again_is_still_the_peak(monkeypatch, reset):
    if not reset:
        monkeypatch.setattr(worker.measure.memory, "_reset_high_water", lambda: False)
    release_free_memory()
    with PeakResident() as peak:
        _touch(200)
    assert 195 * MIB <= peak.peak_bytes <= 260 * MIB


def test_an_earlier_peak_does_not_count():
    _touch(300)
    release_free_memory()
    with PeakResident() as peak:
        _touch(50)
    assert peak.peak_bytes <= 120 * MIB


def test_the_baseline_may_be_taken_earlier():
    release_free_memory()
    baseline = resident_bytes()
    held = np.ones(100 * MIB, dtype=np.uint8)
    with PeakResident(baseline=baseline) as peak:
        _touch(60)
    assert peak.peak_bytes >= 155 * MIB
    del held


def test_on_the_cpu_only_resident_memory_is_known():
    with PeakMemory(torch.device("cpu")) as peak:
        _touch(64)
    assert (peak.allocated_bytes, peak.reserved_bytes) == (None, None)
    assert peak.most_bytes == peak.resident_peak_bytes
