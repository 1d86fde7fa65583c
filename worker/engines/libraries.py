"""Optional libraries: a recipe or format that needs one says which, and how to install it, before any work is done."""

from __future__ import annotations

from importlib.util import find_spec

from planner.domain.job import FailureReason
from worker.failure import JobFailed


def require_library(module: str, *, extra: str | None = None) -> None:
    """Raise JobFailed(kernel_unsupported) when `module` cannot be imported, naming the extra that brings it."""
    if find_spec(module) is None:
        install = f"variant-planner[{extra}]" if extra else module
        raise JobFailed(
            FailureReason.KERNEL_UNSUPPORTED,
            f"the library `{module}` is not installed; `pip install '{install}'` brings it",
        )
