"""Optional libraries: a recipe or format that needs one says which, and how to install it, before any work is done."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

from planner.domain.job import FailureReason
from worker.failure import JobFailed

EXTRAS: Final[Mapping[str, str]] = {"bitsandbytes": "nf4", "auto-round": "autoround"}
"""The extra of this distribution that brings a library."""


def installation(requirement: str) -> str | None:
    """Return how to meet a requirement such as "library:bitsandbytes", None for one that no installation meets."""
    kind, _, library = requirement.partition(":")
    if kind != "library" or not library:
        return None
    extra = EXTRAS.get(library)
    return f"`pip install '{f'variant-planner[{extra}]' if extra else library}'` brings {library}"


def require_library(library: str) -> None:
    """Raise JobFailed(kernel_unsupported) when `library` cannot be imported, saying how to install it."""
    if find_spec(library.replace("-", "_")) is None:
        raise JobFailed(
            FailureReason.KERNEL_UNSUPPORTED,
            f"the library {library} is not installed; {installation(f'library:{library}')}",
        )
