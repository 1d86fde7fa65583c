from __future__ import annotations

import errno

import pytest

from planner.domain.job import FailureReason
from planner.errors import IntegrityFailure, InvalidInput, NotFound, OutOfSpace, Unavailable, UnsafeFile
from worker.failure import JobFailed, failure_of

pytestmark = pytest.mark.worker


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (IntegrityFailure("wrong hash"), FailureReason.ARTIFACT_CORRUPT),
        (UnsafeFile("m.bin", "", "is pickled"), FailureReason.ARTIFACT_CORRUPT),
        (Unavailable("no server"), FailureReason.NETWORK),
        (InvalidInput("recipe", "is odd"), FailureReason.INVALID_JOB),
        (NotFound("variant", "x"), FailureReason.INVALID_JOB),
        (MemoryError(), FailureReason.OOM_HOST),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), FailureReason.OOM_HOST),
        (RuntimeError("CUDA error: out of memory"), FailureReason.OOM_DEVICE),
        (
            NotImplementedError("Could not run 'aten::x' with arguments from the 'CPU'"),
            FailureReason.KERNEL_UNSUPPORTED,
        ),
        (RuntimeError("CUDA error: no kernel image is available"), FailureReason.KERNEL_UNSUPPORTED),
        (ImportError("Requires mslk >= 1.0.0"), FailureReason.KERNEL_UNSUPPORTED),
        (OSError(errno.ENOSPC, "No space left on device"), FailureReason.DISK_FULL),
        (OSError(errno.EFBIG, "File too large"), FailureReason.DISK_FULL),
        (PermissionError(errno.EACCES, "Permission denied"), FailureReason.CRASHED),
        (OutOfSpace("disk full while writing a blob"), FailureReason.DISK_FULL),
        (RuntimeError("Error while serializing: I/O error: os error 28"), FailureReason.DISK_FULL),
        (KeyError("x"), FailureReason.CRASHED),
        (JobFailed(FailureReason.TIMEOUT, "late"), FailureReason.TIMEOUT),
    ],
)
def test_every_error_has_one_reason(error, reason):
    assert failure_of(error).reason is reason


def test_a_foreign_error_keeps_its_class_name():
    assert failure_of(ZeroDivisionError("division by zero")).message == "ZeroDivisionError: division by zero"
