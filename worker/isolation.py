"""Running a function in a child process of its own, so that a crash, an out-of-memory end or a leak stays there.

    parent                                child (its own session)
    run_isolated ── start ──────────────▶ output goes to the log file
        │   ◀── progress … ────────────── function(…, report=…)
        │   ◀── result, or typed failure  exit
        └── stop, time-out ── SIGTERM, then SIGKILL to the whole session

When the parent dies, the child sees its end of a pipe close and ends too.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from planner.domain.job import Failure, FailureReason
from planner.errors import PlannerError
from worker.failure import JobFailed, JobStopped, failed, failure_of, is_refusal
from worker.progress import Report, ignore

StartMethod = Literal["spawn", "forkserver"]
"""A fresh interpreter, or a copy of one that has the libraries loaded (CPU work only)."""

GRACE_SECONDS: Final = 10.0
"""Between asking a child to end and killing it."""
LOG_TAIL_BYTES: Final = 4000
_POLL_SECONDS: Final = 0.1
_ORPHANED: Final = 75


def run_isolated(
    function: Callable[..., Any],
    *arguments: Any,
    log: Path,
    method: StartMethod = "spawn",
    report: Report = ignore,
    stop: threading.Event | None = None,
    timeout_seconds: float | None = None,
) -> Any:
    """Return `function(*arguments, report=…)` as computed in a child process; its output is appended to `log`.

    Function, arguments and result are pickled between the two processes of this program, never from outside. Raises
    JobFailed with a typed reason, JobStopped when `stop` was set.
    """
    context = _context(method)
    receiving, sending = context.Pipe(duplex=False)
    watched, held = context.Pipe(duplex=False)
    process = context.Process(
        target=_child, args=(function, arguments, sending, watched, str(log)), name=f"job-{function.__name__}"
    )
    killed_before = _out_of_memory_kills()
    process.start()
    sending.close()
    watched.close()
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    try:
        outcome = _listen(process, receiving, report, stop, deadline)
    except BaseException:
        _end(process)
        raise
    finally:
        held.close()
        receiving.close()
    process.join()
    match outcome:
        case ("result", payload):
            return pickle.loads(payload)  # noqa: S301  written by our own child
        case ("failure", (Failure() as failure, bool() as refused)):
            raise failed(
                msgspec.structs.replace(failure, log_tail=failure.log_tail or log_tail(log)), refused=refused
            )
        case _:
            raise _crash(process.exitcode, log, killed=_out_of_memory_kills() > killed_before)


def _context(method: StartMethod) -> SpawnContext | ForkServerContext:
    if method == "spawn":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["worker.warm"])
    return context


def log_tail(log: Path) -> str | None:
    """Return the end of a log file, None when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace").strip()
    except OSError:
        return None
    return text or None


def _listen(
    process: BaseProcess,
    receiving: Connection,
    report: Report,
    stop: threading.Event | None,
    deadline: float | None,
) -> tuple[str, Any] | None:
    """Return the child's outcome, None when it ended without one."""
    while True:
        if stop is not None and stop.is_set():
            raise JobStopped
        if deadline is not None and time.monotonic() > deadline:
            raise JobFailed(FailureReason.TIMEOUT, "the job took longer than its time limit")
        try:
            if not receiving.poll(_POLL_SECONDS):
                continue
            kind, *content = receiving.recv()
        except (EOFError, OSError):
            process.join(GRACE_SECONDS)
            return None
        if kind == "progress":
            report(*content)
        else:
            return kind, content[0]


def _end(process: BaseProcess) -> None:
    """End the child and everything it started: politely first, then for certain."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.pid is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # The child leads its own session; in the instant before it does, signalling it alone is right.
            group = os.getpgid(process.pid)
            if group == process.pid:
                os.killpg(group, number)
            else:
                os.kill(process.pid, number)
        process.join(GRACE_SECONDS)
        if process.exitcode is not None:
            return


def _crash(code: int | None, log: Path, *, killed: bool) -> JobFailed:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        if -code == signal.SIGKILL and killed:
            return JobFailed(
                FailureReason.OOM_HOST, "the kernel killed the job for memory", log_tail=log_tail(log)
            )
        return JobFailed(FailureReason.CRASHED, f"the job was ended by {name}", log_tail=log_tail(log))
    return JobFailed(
        FailureReason.CRASHED, f"the job ended with exit code {code} and no result", log_tail=log_tail(log)
    )


def _out_of_memory_kills() -> int:
    """Return how many processes the kernel has killed for memory, in this control group or on the machine."""
    total = 0
    for path, key in (("/sys/fs/cgroup/memory.events", "oom_kill"), ("/proc/vmstat", "oom_kill")):
        with contextlib.suppress(OSError, ValueError):
            for line in Path(path).read_text(encoding="ascii").splitlines():
                name, _, count = line.partition(" ")
                if name == key:
                    total += int(count)
    return total


# -- in the child ---------------------------------------------------------------------------------------------------


def _child(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    sending: Connection,
    watched: Connection,
    log: str,
) -> None:
    with contextlib.suppress(OSError):
        os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(watched,), name="parent-watch", daemon=True).start()
    lock = threading.Lock()

    def send(*message: Any) -> None:
        with lock:
            sending.send(message)

    try:
        _redirect_output(log)
        result = function(*arguments, report=lambda share, text: send("progress", share, text))
        send("result", pickle.dumps(result))
    except BaseException as error:  # noqa: BLE001  everything becomes a typed failure
        with contextlib.suppress(OSError):  # a full disk takes no last words
            _print_last_words(error)
        send("failure", (failure_of(error), is_refusal(error)))
    sending.close()
    # Leave without running exit handlers: a wedged library must not keep a finished job alive.
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def _print_last_words(error: BaseException) -> None:
    """Write how the job failed: in one line where the error was written for its reader, else with the place it came from."""
    if isinstance(error, PlannerError):
        sys.stderr.write(f"error: {error.message}\n")
    else:
        traceback.print_exc()


def _redirect_output(log: str) -> None:
    """Send output, that of C libraries included, to the log file."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)


def _end_with_parent(watched: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        watched.recv()
    os._exit(_ORPHANED)
