from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import torch

from worker.measure.contention import Watch

pytestmark = pytest.mark.worker
CPU = torch.device("cpu")


def test_work_of_others_on_every_processor_taints():
    program = "import time\nend = time.time() + 1.5\nwhile time.time() < end: pass"
    others = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(os.cpu_count() or 1)]
    time.sleep(0.3)
    with Watch(CPU, threads=os.cpu_count() or 1) as watch:
        time.sleep(0.8)
    for process in others:
        process.wait()
    assert watch.foreign_processors > 0.3
    assert any("processors busy" in doubt for doubt in watch.doubts)
    assert watch.facts["foreign_processors"] == pytest.approx(watch.foreign_processors, abs=0.001)


def test_work_of_our_own_does_not_count_as_others():
    with Watch(CPU, threads=1) as watch:
        end = time.perf_counter() + 0.6
        while time.perf_counter() < end:
            pass
    # whatever else runs here, our own processor is not among it
    assert watch.foreign_processors <= (os.cpu_count() or 1) - 0.3
