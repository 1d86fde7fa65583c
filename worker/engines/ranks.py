"""Processes that work as one: started on this machine, joined over loopback, ended with the process that started them.

The process that starts the others is rank 0 itself, so what measures it sees it from inside. Collectives run over gloo
on the CPU and NCCL between GPUs; orders go over gloo on both.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import tempfile
import threading
from collections.abc import Callable, Generator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from planner.domain.job import FailureReason
from worker.failure import JobFailed

PATIENCE: Final = timedelta(minutes=20)
"""How long a rank waits for another, which may still be loading."""
_LOOPBACK: Final = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
_END_SECONDS: Final = 10.0


@contextlib.contextmanager
def joined(rank: int, degree: int, store: Path, kind: str) -> Generator[None]:
    """Be rank `rank` of `degree` processes that meet in the file `store`, on devices of `kind` (cpu or cuda)."""
    import torch
    import torch.distributed as dist

    place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(degree)}
    with _environment({**place, **{name: os.environ.get(name, lo) for name, lo in _LOOPBACK.items()}}):
        if kind == "cuda":
            torch.cuda.set_device(rank)
        dist.init_process_group(
            backend="gloo" if kind == "cpu" else "cpu:gloo,cuda:nccl",
            init_method=f"file://{store}",
            rank=rank,
            world_size=degree,
            timeout=PATIENCE,
        )
        try:
            yield
        finally:
            dist.destroy_process_group()


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Generator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Ranks:
    """The other processes. `serve(rank, …)` runs in each of them, inside `joined`, until it returns."""

    def __init__(
        self, serve: Callable[..., None], arguments: tuple[Any, ...], *, degree: int, kind: str
    ) -> None:
        self._stack = contextlib.ExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="ranks-"))
        store = Path(folder) / "store"
        context = multiprocessing.get_context("spawn")
        self._processes = [
            context.Process(
                target=_run,
                args=(serve, arguments),
                kwargs={"rank": rank, "degree": degree, "store": store, "kind": kind},
                name=f"rank-{rank}",
                daemon=True,
            )
            for rank in range(1, degree)
        ]
        for process in self._processes:
            process.start()
        try:
            self._stack.enter_context(joined(0, degree, store, kind))
        except BaseException:
            self.end()
            raise

    def check(self) -> None:
        """Raise JobFailed (crashed) when one of them has ended."""
        for process in self._processes:
            if process.exitcode is not None:
                raise JobFailed(
                    FailureReason.CRASHED, f"{process.name} ended with exit code {process.exitcode}"
                )

    def wait_for_end(self, seconds: float = _END_SECONDS) -> None:
        """Give them `seconds` to end by themselves."""
        for process in self._processes:
            process.join(seconds)

    def end(self) -> None:
        """End those that still run and leave the group."""
        for process in self._processes:
            if process.is_alive():
                process.terminate()
        for process in self._processes:
            process.join(_END_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
        with contextlib.suppress(RuntimeError):  # a group whose member is gone cannot be left in good order
            self._stack.close()


def _run(
    serve: Callable[..., None],
    arguments: tuple[Any, ...],
    *,
    rank: int,
    degree: int,
    store: Path,
    kind: str,
) -> None:
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    with joined(rank, degree, store, kind):
        serve(rank, *arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
