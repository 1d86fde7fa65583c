"""A real agent whose jobs misbehave as their names say, each in a real child process.

python -m tests.worker.protocol.lab_worker URL WORK NAME
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import worker.agent
import worker.isolation
from planner.client import Client
from worker.agent import Agent
from worker.commands.run import on_signals
from worker.progress import Report
from worker.runner import Runner

UPLOAD = random.Random(7).randbytes(3_000_000)
UPLOAD_SHA256 = hashlib.sha256(UPLOAD).hexdigest()


def quick(*, report: Report) -> str:
    report(0.5, "half way")
    print("quick words", flush=True)
    return "done"


def slow(*, report: Report) -> str:
    for step in range(30):
        report(step / 30, f"step {step}")
        print(f"step {step}", flush=True)
        time.sleep(0.1)
    return "done"


def hang_first(*, report: Report) -> str:
    """Hangs in one process, the first; is quick in every other one."""
    try:
        marker = os.open(Path(os.environ["LAB_SHARED"]) / "hung", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return quick(report=report)
    os.write(marker, str(os.getpid()).encode())
    print("hanging words", flush=True)
    report(0.1, "hanging")
    threading.Event().wait(600)
    return "never"


def kill_worker(*, report: Report) -> None:
    """What a poison job does: ends the worker that runs it."""
    report(0.1, "killing")
    print("poisonous words", flush=True)
    time.sleep(0.7)  # so that the words are sent
    os.kill(os.getppid(), signal.SIGKILL)


def out_of_device_memory(*, report: Report) -> None:
    """Fails as torch does on a GPU."""
    del report
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def out_of_host_memory(*, report: Report) -> int:
    """A real refusal of the system, by a limit on the address space."""
    del report
    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    return len(bytearray(2**34))


def killed(*, report: Report) -> None:
    del report
    print("last words", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def disk_full(*, report: Report) -> None:
    """A real ENOSPC."""
    del report
    with Path("/dev/full").open("wb") as file:
        file.write(bytes(2**16))


def file_too_large(*, report: Report) -> None:
    """A real EFBIG, and a log that takes no more either."""
    del report
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    for _ in range(1000):
        print("x" * 79, flush=True)


BEHAVIOURS = {
    function.__name__: function
    for function in (
        quick,
        slow,
        hang_first,
        kill_worker,
        out_of_device_memory,
        out_of_host_memory,
        killed,
        disk_full,
        file_too_large,
    )
}


class LabRunner(Runner):
    """Runs a behaviour instead of a recipe, in a fresh interpreter: none of them needs torch."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, method="spawn", **options)

    def run(self, spec: Any, out: Path, *, report: Report = lambda share, text: None) -> Any:
        name = "quick" if spec.name == "upload" else spec.name
        value = self._child(BEHAVIOURS[name], device="cpu", out=out, report=report, timeout=60)
        return {"value": value, "name": spec.name, "worker": sys.argv[3]}


def submit(client: Client, out: Path, result: Any, *, report: Report) -> None:
    """Uploads something large where the job says so."""
    del out
    if result["name"] == "upload":
        report(0.9, "uploading")
        chunks = (UPLOAD[start : start + 65536] for start in range(0, len(UPLOAD), 65536))
        client.upload(chunks, sha256=UPLOAD_SHA256, size=len(UPLOAD))


def main() -> None:
    url, work, name = sys.argv[1:]
    os.environ["LAB_SHARED"] = str(Path(work).parent)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    agents: Any = worker.agent
    agents.Runner, agents.submit = LabRunner, submit
    worker.isolation.GRACE_SECONDS = 0.3  # type: ignore[misc]
    with Client(url) as client:
        agent = Agent(client, name=name, capabilities=frozenset({"cpu"}), work=Path(work), idle_seconds=0.1)
        on_signals(agent.drain_or_end)
        agent.run()


if __name__ == "__main__":
    main()
