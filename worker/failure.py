"""Typed failures: every way a job can end without a result, named so that the planner and a retry can reason about it."""

from __future__ import annotations

import re
from typing import Final

from planner.artifacts.durable import FULL
from planner.domain.job import Failure, FailureReason
from planner.errors import IntegrityFailure, InvalidFile, InvalidInput, OutOfSpace, PlannerError, Unavailable

_HOST_MEMORY: Final = re.compile(
    r"can't allocate memory|cannot allocate memory|std::bad_alloc", re.IGNORECASE
)
_DISK: Final = re.compile(
    r"no space left on device|disk quota exceeded|file too large|os error (?:27|28|122)\b", re.IGNORECASE
)
"""ENOSPC, EDQUOT and EFBIG as C and Rust libraries put them into words (Linux numbers them 28, 122 and 27)."""
_DEVICE_MEMORY: Final = re.compile(r"out of memory|CUBLAS_STATUS_ALLOC_FAILED", re.IGNORECASE)
_KERNEL: Final = re.compile(
    r"not implemented for|no kernel image|could not run 'aten::|is not supported|not supported on|"
    r"requires (?:the )?(?:mslk|fbgemm|gemlite)|no module named '(?:mslk|fbgemm|gemlite)|compute capability|"
    r"unsupported (?:dtype|device|gpu)|not compiled with CUDA|no CUDA GPUs are available|no NVIDIA driver",
    re.IGNORECASE,
)


class JobFailed(PlannerError):
    """A job that ended without a result, with the typed reason and, where there is one, the end of its log."""

    code = "job-failed"
    title = "Job failed"

    def __init__(self, reason: FailureReason, message: str, *, log_tail: str | None = None) -> None:
        super().__init__(message, reason=reason.value, log_tail=log_tail)
        self.reason = reason
        self.log_tail = log_tail

    @property
    def failure(self) -> Failure:
        """The failure as it is reported to the server."""
        return Failure(reason=self.reason, message=self.message, log_tail=self.log_tail)


class JobRefused(JobFailed):
    """A job that asks for what cannot be: the request is at fault, so it counts as wrong usage."""

    title = "Job refused"
    exit_code = 2


def is_refusal(error: BaseException) -> bool:
    """Return whether the error is about what was asked for or handed in, a wrong file included, and not about the work."""
    return (
        isinstance(error, JobRefused | InvalidInput) or failure_of(error).reason is FailureReason.INVALID_JOB
    )


def failed(failure: Failure, *, refused: bool = False) -> JobFailed:
    """Return the error that `failure` is raised as; `refused` where its cause was a refusal."""
    kind = JobRefused if refused or failure.reason is FailureReason.INVALID_JOB else JobFailed
    return kind(failure.reason, failure.message, log_tail=failure.log_tail)


class JobStopped(Exception):
    """The job was stopped on request: cancelled, or its lease went to another worker. Nothing is reported."""


def failure_of(error: BaseException) -> Failure:
    """Return the typed failure that `error` amounts to; what is not recognised is `crashed`."""
    if isinstance(error, JobFailed):
        return error.failure
    return Failure(reason=_reason(error), message=_message(error))


def _message(error: BaseException) -> str:
    text = str(error).strip()
    if isinstance(error, PlannerError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _reason(error: BaseException) -> FailureReason:
    match error:
        case IntegrityFailure() | InvalidFile():
            return FailureReason.ARTIFACT_CORRUPT
        case OutOfSpace():
            return FailureReason.DISK_FULL
        case Unavailable():
            return FailureReason.NETWORK
        case PlannerError():
            return FailureReason.INVALID_JOB
        case MemoryError():
            return FailureReason.OOM_HOST
        case OSError() if error.errno in FULL:
            return FailureReason.DISK_FULL
        case _:
            return _foreign_reason(error)


def _foreign_reason(error: BaseException) -> FailureReason:
    """Judge an exception of torch, torchao, transformers or safetensors by its class name and its words."""
    name, text = type(error).__name__, str(error)
    if _DISK.search(text):
        return FailureReason.DISK_FULL
    if name == "SafetensorError":
        return FailureReason.ARTIFACT_CORRUPT
    if _HOST_MEMORY.search(text):
        return FailureReason.OOM_HOST
    if name == "OutOfMemoryError" or _DEVICE_MEMORY.search(text):
        return FailureReason.OOM_DEVICE
    if isinstance(error, NotImplementedError) or (
        isinstance(error, RuntimeError | ImportError | AssertionError | ValueError) and _KERNEL.search(text)
    ):
        return FailureReason.KERNEL_UNSUPPORTED
    return FailureReason.CRASHED
