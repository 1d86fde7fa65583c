"""Ranges of a sweep: what "memory=8GiB..80GiB/50:log" means, and the question with one of its values put in.

    NAME=FROM..TO[/POINTS][:log|:linear]

Names are the parts of a question that have a size; `latency` is the one latency limit that the question has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from planner.domain.constraint import (
    Constraint,
    DiskLimit,
    LatencyLimit,
    LatencyMetric,
    LossLimit,
    ThroughputFloor,
)
from planner.domain.loss import LossKind
from planner.domain.scenario import Hardware, Origin, Scenario
from planner.domain.sweep import Scale
from planner.domain.units import Unit, format_bytes, format_value, parse_bytes, parse_seconds
from planner.errors import InvalidInput

MAX_POINTS: Final = 200
DEFAULT_POINTS: Final = 25
MAX_LENGTH: Final = 200
GRAMMAR: Final = "NAME=FROM..TO, then /POINTS, :log or :linear, such as memory=8GiB..80GiB/50:log"
_SPELT: Final = re.compile(
    r"\s*(?P<name>[a-z_. -]+?)\s*=\s*(?P<lo>.+?)\s*\.\.\s*(?P<hi>[^/:]+?)\s*"
    r"(?:/\s*(?P<points>\d{1,6})\s*)?(?::\s*(?P<scale>log|lin|linear)\s*)?",
    re.IGNORECASE | re.ASCII,
)
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")

Put = Callable[[Scenario, float], Scenario]
Read = Callable[[str, str], float]
"""From a text and the name of the field it is in to a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """One part of a question that can be swept. `put` returns the question with a value in it."""

    name: str
    title: str
    unit: Unit
    whole: bool
    scale: Scale
    read: Read
    put: Put
    key: str
    """Name of the part in a scenario's origins."""

    def show(self, value: float) -> str:
        """Return a value in words."""
        if self.unit is Unit.BYTES:
            return format_bytes(value, binary=self.name != "disk")
        return format_value(value, self.unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRange:
    """A dial with its ends and the number of its points."""

    dial: Dial
    lo: float
    hi: float
    points: int
    scale: Scale

    def values(self) -> tuple[float, ...]:
        """Return the values in ascending order, both ends among them, whole and unique where the dial is whole."""
        if self.points == 1 or self.lo == self.hi:
            return (self.lo,)
        steps = [number / (self.points - 1) for number in range(self.points)]
        if self.scale is Scale.LOG:
            ratio = self.hi / self.lo
            spread = [self.lo * ratio**step for step in steps]
        else:
            spread = [self.lo + (self.hi - self.lo) * step for step in steps]
        spread[-1] = self.hi
        if self.dial.whole:
            spread = [float(round(value)) for value in spread]
        return tuple(dict.fromkeys(spread))


def parse_range(text: str, scenario: Scenario, *, field: str = "over") -> SweepRange:
    """Return the range that `text` spells for this question. Raises InvalidInput naming the part that is wrong."""
    if len(text) > MAX_LENGTH:
        raise InvalidInput(field, f"is {len(text)} characters long", allowed=f"at most {MAX_LENGTH}")
    match = _SPELT.fullmatch(text)
    if match is None:
        raise InvalidInput(field, f"`{text}` is not a range", allowed=GRAMMAR)
    dial = _dial(match["name"], scenario, field=field)
    lo, hi = (dial.read(match[end], f"{field}.{name}") for end, name in (("lo", "from"), ("hi", "to")))
    if lo > hi:
        raise InvalidInput(
            f"{field}.to", f"`{match['hi']}` is below `{match['lo']}`", allowed="an ascending range"
        )
    points = int(match["points"] or DEFAULT_POINTS)
    if not 1 <= points <= MAX_POINTS:
        raise InvalidInput(f"{field}.points", f"{points} is out of range", allowed=f"1 to {MAX_POINTS}")
    asked = (match["scale"] or "").lower()
    if asked == "log" and lo == 0:
        raise InvalidInput(
            f"{field}.from", "0 has no place on a logarithmic scale", allowed="more than 0, or :linear"
        )
    scale = Scale.LOG if asked == "log" else Scale.LINEAR if asked else dial.scale
    if lo == 0:
        scale = Scale.LINEAR
    for end in (lo, hi):
        dial.put(scenario, end)  # a value that no question may have is refused before anything is computed
    return SweepRange(dial=dial, lo=lo, hi=hi, points=points, scale=scale)


def _dial(name: str, scenario: Scenario, *, field: str) -> Dial:
    wanted = name.strip().lower().removeprefix("workload.")
    wanted = _ALIASES.get(wanted, wanted)
    if wanted == "latency":
        limits = [c.key for c in scenario.constraints if isinstance(c, LatencyLimit)]
        if len(limits) != 1:
            raise InvalidInput(
                field,
                f"`latency` could mean {', '.join(limits)}" if limits else "the question limits no latency",
                allowed="ttft, tpot, itl or e2e",
            )
        wanted = limits[0]
    if wanted not in _DIALS:
        raise InvalidInput(
            field, f"`{name.strip()}` cannot be swept", allowed=", ".join([*_DIALS, "latency"])
        )
    dial = _DIALS[wanted]
    if wanted == "loss" and _loss_of(scenario).kind is LossKind.ABSOLUTE:
        return _points_dial(dial)
    return dial


def _asked(scenario: Scenario, key: str) -> dict[str, Origin]:
    return {**scenario.origins, key: Origin.ASKED}


def _with_constraint(scenario: Scenario, constraint: Constraint) -> Scenario:
    """Return the scenario with `constraint` in the place of the one with its key, or added."""
    keys = [own.key for own in scenario.constraints]
    constraints = tuple(constraint if own.key == constraint.key else own for own in scenario.constraints)
    if constraint.key not in keys:
        constraints = (*constraints, constraint)
    return msgspec.structs.replace(
        scenario, constraints=constraints, origins=_asked(scenario, constraint.key)
    )


def _loss_of(scenario: Scenario) -> LossLimit:
    return next((c for c in scenario.constraints if isinstance(c, LossLimit)), LossLimit(limit=0.0))


def _put_loss(scenario: Scenario, value: float) -> Scenario:
    old = _loss_of(scenario)
    return _with_constraint(scenario, msgspec.structs.replace(old, limit=value))


def _put_latency(metric: LatencyMetric) -> Put:
    def put(scenario: Scenario, value: float) -> Scenario:
        old = next(
            (c for c in scenario.constraints if isinstance(c, LatencyLimit) and c.metric is metric),
            LatencyLimit(metric=metric, limit=value),
        )
        return _with_constraint(scenario, msgspec.structs.replace(old, limit=value))

    return put


def _put_throughput(scenario: Scenario, value: float) -> Scenario:
    old = next(
        (c for c in scenario.constraints if isinstance(c, ThroughputFloor)), ThroughputFloor(limit=0.0)
    )
    return _with_constraint(scenario, msgspec.structs.replace(old, limit=value))


def _put_disk(scenario: Scenario, value: float) -> Scenario:
    return _with_constraint(scenario, DiskLimit(limit=round(value)))


def _put_memory(scenario: Scenario, value: float) -> Scenario:
    hardware = msgspec.structs.replace(scenario.hardware or Hardware(), memory_bytes=round(value))
    return msgspec.structs.replace(scenario, hardware=hardware, origins=_asked(scenario, "hardware"))


def _put_devices(scenario: Scenario, value: float) -> Scenario:
    hardware = msgspec.structs.replace(scenario.hardware or Hardware(), count=round(value))
    return msgspec.structs.replace(scenario, hardware=hardware, origins=_asked(scenario, "hardware"))


def _put_workload(part: str) -> Put:
    def put(scenario: Scenario, value: float) -> Scenario:
        workload = msgspec.structs.replace(scenario.workload, **{part: round(value)})
        return msgspec.structs.replace(
            scenario, workload=workload, origins=_asked(scenario, f"workload.{part}")
        )

    return put


def _put_context(scenario: Scenario, value: float) -> Scenario:
    """Return the scenario with a context of `value` tokens: output stays, input is the rest."""
    room = round(value) - scenario.workload.output_tokens
    if room < 1:
        raise InvalidInput(
            "over.from",
            f"a context of {round(value):,} leaves no room for input",
            allowed=f"more than the {scenario.workload.output_tokens:,} output tokens",
        )
    return _put_workload("input_tokens")(scenario, room)


def _read_memory(text: str, field: str) -> float:
    return float(parse_bytes(text, field=field, binary=True))


def _read_disk(text: str, field: str) -> float:
    return float(parse_bytes(text, field=field, binary=False))


def _read_seconds(text: str, field: str) -> float:
    return parse_seconds(text, field=field)


def _read_number(text: str, field: str) -> float:
    if _NUMBER.fullmatch(text.strip()) is None:
        raise InvalidInput(field, f"`{text}` is not a number", allowed="a number such as 8 or 1.5")
    return float(text)


def _read_whole(text: str, field: str) -> float:
    stripped = text.strip().lower().replace(",", "").removesuffix("tokens").strip()
    factor = 1024 if stripped.endswith("k") else 1
    digits = stripped.removesuffix("k")
    if not digits.isdecimal() or len(digits) > 9:
        raise InvalidInput(field, f"`{text}` is not a count", allowed="a whole number such as 8 or 32k")
    return float(int(digits) * factor)


def _read_ratio(text: str, field: str) -> float:
    stripped = text.strip()
    percent = stripped.endswith("%")
    value = _read_number(stripped.removesuffix("%").strip(), field)
    if not percent and value != 0:
        raise InvalidInput(field, f"`{text}` has no unit", allowed="a percentage such as 0.5%")
    return value / 100


def _read_points(text: str, field: str) -> float:
    return _read_number(text.strip().removesuffix("pp").strip(), field)


def _points_dial(dial: Dial) -> Dial:
    return Dial(
        name=dial.name,
        title="absolute loss limit",
        unit=Unit.POINTS,
        whole=False,
        scale=Scale.LINEAR,
        read=_read_points,
        put=dial.put,
        key=dial.key,
    )


def _make(
    name: str,
    title: str,
    unit: Unit,
    read: Read,
    put: Put,
    *,
    key: str | None = None,
    whole: bool = False,
    scale: Scale = Scale.LOG,
) -> Dial:
    return Dial(
        name=name, title=title, unit=unit, whole=whole, scale=scale, read=read, put=put, key=key or name
    )


_ALIASES: Final[Mapping[str, str]] = {
    "vram": "memory",
    "hardware.memory": "memory",
    "hardware.count": "devices",
    "gpus": "devices",
    "input_tokens": "input",
    "output_tokens": "output",
    "end to end": "e2e",
}
_DIALS: Final[Mapping[str, Dial]] = {
    dial.name: dial
    for dial in (
        _make("memory", "memory of each device", Unit.BYTES, _read_memory, _put_memory, key="hardware", whole=True),
        _make("devices", "devices", Unit.COUNT, _read_whole, _put_devices, key="hardware", whole=True),
        _make("loss", "relative loss limit", Unit.RATIO, _read_ratio, _put_loss, scale=Scale.LINEAR),
        *(
            _make(metric.value, f"{metric.value.upper()} limit", Unit.SECONDS, _read_seconds, _put_latency(metric))
            for metric in LatencyMetric
        ),
        _make("throughput", "throughput floor", Unit.TOKENS_PER_SECOND, _read_number, _put_throughput),
        _make("disk", "size on disk limit", Unit.BYTES, _read_disk, _put_disk, whole=True),
        _make(
            "concurrency", "requests at the same time", Unit.COUNT, _read_whole, _put_workload("concurrency"),
            key="workload.concurrency", whole=True,
        ),
        _make(
            "context", "tokens of context", Unit.COUNT, _read_whole, _put_context,
            key="workload.input_tokens", whole=True,
        ),
        _make(
            "input", "input tokens", Unit.COUNT, _read_whole, _put_workload("input_tokens"),
            key="workload.input_tokens", whole=True,
        ),
        _make(
            "output", "output tokens", Unit.COUNT, _read_whole, _put_workload("output_tokens"),
            key="workload.output_tokens", whole=True,
        ),
    )
}  # fmt: skip
DIAL_NAMES: Final = (*_DIALS, "latency")
