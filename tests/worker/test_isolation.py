from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import worker.isolation
from planner.domain.job import FailureReason
from tests.worker import child_functions as children
from worker.failure import JobFailed, JobStopped
from worker.isolation import run_isolated

pytestmark = pytest.mark.worker


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "job.log"


def _group_is_gone(pid: int, *, within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_result_comes_back_with_progress_and_log(log, method):
    heard: list[tuple[float, str]] = []
    result = run_isolated(
        children.add, 2, 3, log=log, method=method, report=lambda share, text: heard.append((share, text))
    )
    assert result == 5
    assert heard == [(0.5, "half way")]
    assert "output of the job" in log.read_text()


def test_the_job_runs_in_another_process_and_session(log):
    pid, session = run_isolated(children.own_pid, log=log, method="forkserver")
    assert pid != os.getpid()
    assert session == pid


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (children.run_out_of_host_memory, FailureReason.OOM_HOST),
        (children.allocate_too_much, FailureReason.OOM_HOST),
        (children.run_out_of_device_memory, FailureReason.OOM_DEVICE),
        (children.use_missing_kernel, FailureReason.KERNEL_UNSUPPORTED),
    ],
)
def test_exceptions_become_typed_failures_with_a_log(log, function, reason):
    with pytest.raises(JobFailed) as caught:
        run_isolated(function, log=log, method="forkserver")
    assert caught.value.reason is reason
    assert "Traceback" in str(caught.value.log_tail)


def test_an_error_written_for_its_reader_is_the_last_line_of_the_log(log):
    with pytest.raises(JobFailed) as caught:
        run_isolated(children.fail_typed, log=log, method="forkserver")
    assert caught.value.reason is FailureReason.RELOAD_MISMATCH
    assert "Traceback" not in str(caught.value.log_tail)
    assert str(caught.value.log_tail).splitlines()[-1] == f"error: {caught.value.message}"


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_crash_stays_in_the_child(log, number):
    with pytest.raises(JobFailed) as caught:
        run_isolated(children.die, number, log=log, method="forkserver")
    assert caught.value.reason is FailureReason.CRASHED
    assert number.name in caught.value.message
    assert "last words" in str(caught.value.log_tail)


def test_a_kill_while_the_kernel_counts_one_for_memory_is_out_of_memory(log, monkeypatch):
    counts = iter([7, 8])
    monkeypatch.setattr(worker.isolation, "_out_of_memory_kills", lambda: next(counts))
    with pytest.raises(JobFailed) as caught:
        run_isolated(children.die, signal.SIGKILL, log=log, method="forkserver")
    assert caught.value.reason is FailureReason.OOM_HOST


def test_an_exit_without_a_result_is_a_crash_with_its_code(log):
    with pytest.raises(JobFailed, match="exit code 3") as caught:
        run_isolated(children.leave, 3, log=log, method="forkserver")
    assert caught.value.reason is FailureReason.CRASHED


def test_a_time_out_ends_the_child_and_all_it_started(log, tmp_path, monkeypatch):
    monkeypatch.setattr(worker.isolation, "GRACE_SECONDS", 0.3)
    marker = tmp_path / "pid"
    with pytest.raises(JobFailed) as caught:
        run_isolated(children.hang, str(marker), log=log, method="forkserver", timeout_seconds=1.5)
    assert caught.value.reason is FailureReason.TIMEOUT
    assert _group_is_gone(int(marker.read_text()))


def test_stopping_ends_the_child(log, tmp_path, monkeypatch):
    monkeypatch.setattr(worker.isolation, "GRACE_SECONDS", 0.3)
    marker, stop = tmp_path / "pid", threading.Event()
    with pytest.raises(JobStopped):
        run_isolated(
            children.hang,
            str(marker),
            log=log,
            method="forkserver",
            stop=stop,
            report=lambda share, text: stop.set(),
        )
    assert _group_is_gone(int(marker.read_text()))


def test_the_child_ends_when_its_parent_is_killed(tmp_path):
    marker = tmp_path / "pid"
    program = (
        "import sys; from pathlib import Path; from worker.isolation import run_isolated\n"
        "from tests.worker import child_functions as c\n"
        f"run_isolated(c.hang, {str(marker)!r}, log=Path({str(tmp_path / 'log')!r}))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[2])
    try:
        deadline = time.monotonic() + 30
        while not marker.exists() or not marker.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        parent.kill()
        parent.wait()
    pid = int(marker.read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # what the child itself had started is in its session; nothing else knows of it
    os.killpg(pid, signal.SIGKILL)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_child_that_draws_bars_leaves_no_semaphore_behind(log, method):
    """Children end without exit handlers, so whatever needs one to be freed would be reported as leaked."""
    program = (
        "import sys; from pathlib import Path; from tests.worker import child_functions as children; "
        "from worker.isolation import run_isolated; "
        f"print(run_isolated(children.draw_bars, log=Path(sys.argv[1]), method={method!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(log)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
