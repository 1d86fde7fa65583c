"""Quantities as people write them, and as the system shows them.

Bytes follow the two conventions in use: device memory is binary (a "24GB" card is 24 GiB), disk and network are
decimal (a "13 GB" file is 13e9 bytes). The caller says which one applies to a bare "GB"; "GiB" is always binary.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from enum import StrEnum
from typing import Final

from planner.errors import InvalidInput

KIB: Final = 1024
MIB: Final = 1024**2
GIB: Final = 1024**3
GB: Final = 1000**3

MAX_BYTES: Final = 2**60
"""Upper bound of any byte count accepted from outside: 1 EiB, far above any model and below float rounding of integers."""


class Unit(StrEnum):
    """Unit of a Figure's value. Relative quantities are plain ratios: 0.01 is one percent."""

    BYTES = "bytes"
    SECONDS = "seconds"
    RATIO = "ratio"
    POINTS = "points"
    TOKENS_PER_SECOND = "tokens/s"
    REQUESTS_PER_SECOND = "requests/s"
    BITS = "bits"
    NATS = "nats"
    PERPLEXITY = "perplexity"
    SCORE = "score"
    COUNT = "count"
    JOULES = "joules"
    PER_HOUR = "per hour"
    """An amount of money for each hour; the currency is stated beside the figure."""
    PER_MILLION_TOKENS = "per million tokens"
    """An amount of money for each million generated tokens; the currency is stated beside the figure."""


_DECIMAL: Final = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4, "p": 1000**5}
_BINARY: Final = {"": 1, "k": KIB, "m": MIB, "g": GIB, "t": 1024**4, "p": 1024**5}
_BYTES = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgtp]?)(i?)b?\s*", re.IGNORECASE)
_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(us|µs|ms|s|sec|min|m|h)?\s*", re.IGNORECASE)
_SECONDS_PER: Final = {
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "min": 60.0,
    "m": 60.0,
    "h": 3600.0,
}


def parse_bytes(text: str, *, field: str, binary: bool) -> int:
    """Return the bytes meant by `text`, for example "24GB" or "13.5 GiB".

    `binary` decides what a bare "GB" means: 2**30 for device memory, 10**9 for files.
    Raises InvalidInput naming `field`.
    """
    match = _BYTES.fullmatch(text)
    if match is None:
        raise InvalidInput(
            field, f"`{text}` is not a size", allowed="a number with B, KB, MB, GB, TB, PB or KiB … PiB"
        )
    number, prefix, marker = match.groups()
    scale = (_BINARY if binary or marker else _DECIMAL)[prefix.lower()]
    value = Decimal(number) * scale  # exact: bytes above 2**53 are not whole in a float
    if not 0.5 < value <= MAX_BYTES:
        raise InvalidInput(field, f"`{text}` is out of range", allowed="more than 0 and at most 1 EiB")
    return round(value)


def parse_seconds(text: str, *, field: str, bare: str = "ms") -> float:
    """Return the seconds meant by `text`, for example "500ms"; a bare number is in `bare`. Raises InvalidInput."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InvalidInput(field, f"`{text}` is not a duration", allowed="a number with us, ms, s, min or h")
    number, unit = match.groups()
    seconds = float(number) * _SECONDS_PER[(unit or bare).lower()]
    if not 0 < seconds <= 1e7:
        raise InvalidInput(field, f"`{text}` is out of range", allowed="more than 0 and at most 1e7 seconds")
    return seconds


def _significant(value: float, digits: int = 3) -> str:
    """Return `value` with so many significant digits, in full above that: "1234", not "1.23e+03"."""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text else text


def format_bytes(value: float, *, binary: bool = True) -> str:
    """Return `value` bytes with three significant digits: "13.4 GiB", or "14.4 GB" when not `binary`."""
    base, suffixes = (
        (1024.0, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"))
        if binary
        else (1000.0, ("B", "kB", "MB", "GB", "TB", "PB"))
    )
    magnitude = abs(float(value))
    step = 0
    while magnitude >= base and step < len(suffixes) - 1:
        magnitude /= base
        step += 1
    scaled = math.copysign(magnitude, value)
    return f"{scaled:.0f} B" if step == 0 else f"{_significant(scaled)} {suffixes[step]}"


def format_seconds(value: float) -> str:
    """Return `value` seconds with three significant digits in the natural unit: "12.3 ms"."""
    scale, suffix = next(
        ((scale, suffix) for scale, suffix in ((1.0, "s"), (1e-3, "ms")) if abs(value) >= 0.9995 * scale),
        (1e-6, "µs"),
    )
    return f"{_significant(value / scale)} {suffix}"


def format_ratio(value: float, *, signed: bool = False) -> str:
    """Return a ratio as a percentage with up to three significant digits: 0.0123 is "1.23 %"."""
    percent = value * 100
    text = _significant(percent) if abs(percent) >= 0.0005 or percent == 0 else f"{percent:.1e}"
    return f"{'+' if signed and value > 0 else ''}{text} %"


def format_value(value: float, unit: Unit) -> str:
    """Return `value` in `unit` as the system shows it everywhere."""
    match unit:
        case Unit.BYTES:
            return format_bytes(value)
        case Unit.SECONDS:
            return format_seconds(value)
        case Unit.RATIO:
            return format_ratio(value)
        case Unit.POINTS:
            return f"{_significant(value)} pp"
        case Unit.COUNT:
            return f"{value:,.0f}"
        case Unit.PERPLEXITY | Unit.SCORE:
            return _significant(value, 4)
        case Unit.PER_HOUR | Unit.PER_MILLION_TOKENS:
            return f"{_significant(value)} {unit.value}"
        case Unit.JOULES:
            return f"{_significant(value)} J"
        case Unit.TOKENS_PER_SECOND | Unit.REQUESTS_PER_SECOND | Unit.BITS | Unit.NATS:
            return f"{_significant(value)} {unit.value}"
