"""What this machine can do, as the words that jobs require."""

from __future__ import annotations

from worker.engines.loading import quiet_libraries, resolve_device
from worker.measure.device import identify
from worker.progress import Report, ignore


def detect_capabilities(*, report: Report = ignore) -> frozenset[str]:
    """Return "cpu", and for each CUDA device "cuda" and its compute capability, such as "cc:9.0".

    Also "device:<id>" for each kind of device here, so that a job can ask for one. The agent calls it in a child process:
    one that only hands out work must not hold memory on the GPU.
    """
    report(0.0, "looking for devices")
    quiet_libraries()
    import torch

    found = {"cpu", f"device:{identify(resolve_device('cpu')).id}"}
    if not torch.cuda.is_available():
        return frozenset(found)
    found.add("cuda")
    for index in range(torch.cuda.device_count()):
        device = resolve_device(f"cuda:{index}")
        properties = torch.cuda.get_device_properties(device)
        found.add(f"cc:{properties.major}.{properties.minor}")
        found.add(f"device:{identify(device).id}")
    return frozenset(found)
