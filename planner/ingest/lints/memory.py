"""Lints on memory and units of it: L3, L5, L6 and L7."""

from __future__ import annotations

from typing import Final

from planner.domain.units import GB, MAX_BYTES, MIB, format_bytes
from planner.ingest.imported import Finding
from planner.ingest.lints.finding import warn

FOREIGN_BYTES: Final = GB
SIZE_TOLERANCE: Final = 0.15


def contradicts_weights(findings: list[Finding], *, file_bytes: int | None, weight_bytes: int | None) -> None:
    """L3: say when the model's size in the file is far from the variant's own bytes. Weak evidence, never a refusal."""
    if not file_bytes or not weight_bytes or abs(file_bytes - weight_bytes) <= SIZE_TOLERANCE * weight_bytes:
        return
    warn(
        findings,
        "L3",
        f"the file's model takes {format_bytes(file_bytes)}, the variant's weights {format_bytes(weight_bytes)}: "
        "is it the same build? (weak evidence)",
    )


def total_memory(findings: list[Finding], name: str, value: float | None) -> int | None:
    """L5: return device memory in bytes of a field named in MB, which holds bytes where it is above a million."""
    if value is None:
        return None
    if value > 1e6:
        warn(findings, "L5", f"`{name}` is {value:.0f}: bytes, not MB; over all GPUs of the host")
        return int(value) if value <= MAX_BYTES else None
    return int(value * MIB)


def foreign_memory(findings: list[Finding], *, device: float | None, process: float | None) -> str | None:
    """L6: return the doubt when the device holds over 1 GB (decimal) more than the process; bytes."""
    if device is None or not process or device - process <= FOREIGN_BYTES:
        return None
    message = (
        f"the device held {format_bytes(device)}, the process {format_bytes(process)}: another process, or one that "
        "the driver could not see; memory is not used"
    )
    warn(findings, "L6", message)
    return message


def invisible_process(
    findings: list[Finding], *, device: float | None, process: float | None
) -> float | None:
    """L7: return the process's device memory, None where it is 0 while the device's is not: its pid was not visible."""
    if process == 0 and device:
        warn(
            findings,
            "L7",
            f"process memory is 0 while the device held {format_bytes(device)}: pid not visible",
        )
        return None
    return process
