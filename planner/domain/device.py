"""Devices: accelerator, CPU and edge board types, with what their drivers expose."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from planner.domain.scheme import NumberFormat


class DeviceKind(StrEnum):
    """What sort of thing executes the model, as far as memory is concerned."""

    GPU = "gpu"
    CPU = "cpu"
    BOARD = "board"
    """An edge board or system-on-chip whose memory is shared with the operating system."""


class Peak(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Dense matrix throughput by number format, in operations per second (not tera); None is unknown."""

    fp32: float | None = None
    fp16: float | None = None
    fp16_accumulate: float | None = None
    """FP16 with FP16 accumulation, where that is faster: on GeForce cards twice the rate with FP32 accumulation."""
    bf16: float | None = None
    fp8: float | None = None
    int8: float | None = None
    int4: float | None = None
    fp4: float | None = None

    def of(self, number_format: NumberFormat) -> float | None:
        """Return the peak of `number_format`, falling back from BF16 to FP16 and back; None when unknown."""
        match number_format:
            case NumberFormat.FP32:
                return self.fp32
            case NumberFormat.BF16 | NumberFormat.FP16:
                return self.bf16 or self.fp16
            case NumberFormat.FP8 | NumberFormat.MXFP8:
                return self.fp8
            case NumberFormat.INT8:
                return self.int8
            case NumberFormat.NVFP4 | NumberFormat.MXFP4:
                return self.fp4
            case _:
                return self.bf16 or self.fp16


class Device(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A device type. `memory_bytes` is nominal; `usable_bytes` is what the driver exposes, where a source says."""

    id: str
    name: str
    kind: DeviceKind
    vendor: str
    memory_bytes: int
    usable_bytes: int | None = None
    bandwidth_bytes_per_second: float | None = None
    peak: Peak = Peak()
    compute_capability: str | None = None
    interconnect_bytes_per_second: float | None = None
    tdp_watts: float | None = None
    aliases: tuple[str, ...] = ()
    citations: tuple[str, ...] = ()
    note: str | None = None

    def names(self) -> tuple[str, ...]:
        """Return every lower-case name the device answers to."""
        return tuple(dict.fromkeys(name.lower() for name in (self.id, self.name, *self.aliases)))
