from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import torch

from worker.measure.contention import Watch
from worker.measure.readings import Others, Reading

pytestmark = pytest.mark.worker
CPU = torch.device("cpu")


def test_work_of_others_on_every_processor_taints():
    # Orphans: children of ours would count as our own work.
    program = (
        "import os, time\nif os.fork(): os._exit(0)\nend = time.time() + 1.5\nwhile time.time() < end: pass"
    )
    for _ in range(os.cpu_count() or 1):
        subprocess.run([sys.executable, "-c", program], check=True)
    time.sleep(0.3)
    with Watch(CPU, threads=os.cpu_count() or 1) as watch:
        time.sleep(0.8)
    assert watch.foreign_processors > 0.3
    assert any("processors busy" in doubt for doubt in watch.doubts)
    assert watch.facts["foreign_processors"] == pytest.approx(watch.foreign_processors, abs=0.001)


def test_work_of_our_own_does_not_count_as_others():
    start = time.perf_counter()
    with Watch(CPU, threads=1) as watch:
        end = time.process_time() + 0.5
        while time.process_time() < end:
            pass
    own = 0.5 / (time.perf_counter() - start)
    # whatever else runs here, our own processor is not among it
    assert watch.foreign_processors <= (os.cpu_count() or 1) - own + 0.15


class Recording:
    """Readings that were recorded, handed out one after the other; the last one stays."""

    def __init__(self, *, reasons: list[int], clocks: list[float], processes: list[dict[int, int | None]]):
        self.reasons, self.clocks, self.listed = reasons, clocks, processes

    def reading(self) -> Reading:
        reasons = self.reasons.pop(0) if len(self.reasons) > 1 else self.reasons[0]
        clock = self.clocks.pop(0) if len(self.clocks) > 1 else self.clocks[0]
        return Reading(
            at=time.perf_counter(), reasons=reasons, sm_clock_hertz=clock, temperature_celsius=60.0
        )

    def processes(self) -> dict[int, int | None]:
        return self.listed.pop(0) if len(self.listed) > 1 else self.listed[0]

    def full_clock_hertz(self) -> float:
        return 1.98e9


def test_a_stranger_on_the_gpu_taints_whenever_he_comes():
    own = os.getpid()
    recording = Recording(reasons=[0], clocks=[1.9e9], processes=[{}, {own: 10**9}, {own: 10**9, 77: None}])
    with Watch(CPU, threads=1, gauge=recording) as watch:
        pass
    assert watch.others == Others(1, (77,))
    assert watch.facts["gpu_other_processes"] == 1
    assert any("of pid 77" in doubt for doubt in watch.doubts)


def test_memory_that_no_listed_process_holds_taints():
    alone = Recording(reasons=[0], clocks=[1.9e9], processes=[{}])
    with Watch(CPU, threads=1, gauge=alone, idle_bytes=7 * 10**9) as watch:
        pass
    assert any("not listed" in doubt for doubt in watch.doubts)
    with Watch(CPU, threads=1, gauge=alone, idle_bytes=6 * 10**8) as watch:
        pass
    assert not any("GPU" in doubt for doubt in watch.doubts)


def test_a_run_on_a_hot_gpu_is_judged_spoilt_and_a_power_capped_one_is_not():
    for reasons, expected in ((0x40, "hardware thermal slowdown"), (0x04, None)):
        recording = Recording(reasons=[reasons], clocks=[1.2e9], processes=[{}])
        with Watch(CPU, threads=1, gauge=recording) as watch:
            start = time.perf_counter()
            assert watch.judge(start, time.perf_counter()) == expected
        assert watch.facts["gpu_power_capped_share"] == (1.0 if reasons == 0x04 else 0.0)
        assert watch.facts.get("gpu_slowdowns") == expected
        assert watch.between(start, time.perf_counter())


def test_watching_costs_next_to_nothing_and_samples_while_work_runs():
    recording = Recording(reasons=[0], clocks=[1.9e9], processes=[{}])
    with Watch(CPU, threads=1, gauge=recording) as watch:
        time.sleep(0.6)
    readings = watch.facts["gpu_readings"]
    assert isinstance(readings, int)
    assert readings >= 4
