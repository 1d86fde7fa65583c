"""Scenarios: hardware, workload, constraints and objective, and where each part came from."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from planner.domain.constraint import Constraint
from planner.domain.device import DeviceKind
from planner.domain.model import Model
from planner.domain.naming import is_within_family
from planner.domain.price import Price
from planner.domain.units import format_bytes, format_ratio
from planner.domain.workload import Workload
from planner.errors import InvalidInput

DEFAULT_RISK = 0.01
"""Accepted probability that a variant said to fit does not."""

MAX_RATE = 1e7
"""Most requests per second accepted."""


class Origin(StrEnum):
    """Where an effective constraint came from. Nothing is assumed without saying so."""

    ASKED = "asked"
    PRESET = "preset"
    DEFAULT = "default"
    PRICES = "prices"
    """The price file."""


_SIZE_TOLERANCE = 0.025
MAX_SIZE_BILLIONS = 100_000.0
"""Largest size class accepted, in billions of parameters: far above any model."""


class SelectorKind(StrEnum):
    """How a question names the model."""

    ANY = "any"
    SIZE = "size"
    FAMILY = "family"
    MODEL = "model"


def _is_size(model: Model, billions: float) -> bool:
    return (
        model.size_billions == billions
        or abs(model.parameters / 1e9 - billions) <= _SIZE_TOLERANCE * billions
    )


class ModelSelector(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Which models are considered: any, a size class in billions, a family (with an optional size), or one model."""

    kind: SelectorKind = SelectorKind.ANY
    value: str | None = None
    """Family name (or the beginning of one, such as "Llama"), or model id."""
    size_billions: float | None = None

    def __post_init__(self) -> None:
        if self.kind in {SelectorKind.FAMILY, SelectorKind.MODEL} and not self.value:
            raise InvalidInput("model.value", "is missing", allowed=f"the name of a {self.kind.value}")
        if self.kind is SelectorKind.SIZE and self.size_billions is None:
            raise InvalidInput("model.size_billions", "is missing", allowed="billions of parameters")
        if self.size_billions is not None and not 0 < self.size_billions <= MAX_SIZE_BILLIONS:
            raise InvalidInput(
                "model.size_billions",
                f"{self.size_billions} is out of range",
                allowed=f"more than 0, at most {MAX_SIZE_BILLIONS:g} billion parameters",
            )

    def selects(self, model: Model) -> bool:
        """Return whether `model` is meant: by id, by family or a branch of it, and by size class.

        A size is the one people call the model by, or its exact count within 2.5 %, so "13B" finds 13.02 billion.
        """
        match self.kind:
            case SelectorKind.MODEL:
                return model.id == self.value
            case SelectorKind.FAMILY if not is_within_family(model.family, self.value or ""):
                return False
            case _:
                return self.size_billions is None or _is_size(model, self.size_billions)

    def describe(self) -> str:
        """Return the selector in words."""
        match self.kind:
            case SelectorKind.ANY:
                return "any model"
            case SelectorKind.SIZE:
                return f"{self.size_billions:g}B models"
            case SelectorKind.FAMILY:
                return f"{self.value} family" + (f", {self.size_billions:g}B" if self.size_billions else "")
            case SelectorKind.MODEL:
                return f"model {self.value}"


class Hardware(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`count` devices of one type, named, or given only by the memory of each.

    With `device_id` None, `memory_bytes` is a nominal card of that memory; for a CPU it is the RAM to use, and None
    means memory is not checked.
    """

    device_id: str | None = None
    count: int = 1
    memory_bytes: int | None = None
    kind: DeviceKind = DeviceKind.GPU
    nodes: int = 1
    """Machines the `count` devices are in, equally many in each. Tensor parallelism stays within one machine."""
    partition: str | None = None
    """Profile of a Multi-Instance GPU slice, such as "1g.10gb"; `count` is then the number of slices."""
    tensor_parallel: int | None = None
    """Devices that share every layer of one replica; None lets the planner find it, as for the next two."""
    pipeline_parallel: int | None = None
    """Stages of one replica."""
    replicas: int | None = None
    """Copies that must find room on the devices at least."""

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 1024:
            raise InvalidInput("hardware.count", f"{self.count} is out of range", allowed="1 to 1024")
        if self.nodes < 1 or self.count % self.nodes:
            raise InvalidInput(
                "hardware.nodes",
                f"{self.nodes} do not hold {self.count} devices in equal numbers",
                allowed=f"a divisor of {self.count}",
            )
        self._check_parallelism()
        if self.partition is not None and (self.device_id is None or self.memory_bytes is not None):
            raise InvalidInput(
                "hardware.partition",
                "is a slice of a named device, whose memory follows from it",
                allowed="a device_id and no memory_bytes",
            )
        if self.memory_bytes is not None and not 1 <= self.memory_bytes <= 2**60:
            raise InvalidInput(
                "hardware.memory_bytes", f"{self.memory_bytes} is out of range", allowed="1 byte to 1 EiB"
            )

    def _check_parallelism(self) -> None:
        needed = 1
        for name in ("tensor_parallel", "pipeline_parallel", "replicas"):
            value = getattr(self, name)
            if value is None:
                continue
            needed *= value
            if value < 1 or needed > self.count:
                raise InvalidInput(
                    f"hardware.{name}",
                    f"{value} does not go into {self.count} devices",
                    allowed="at least 1; tensor x pipeline x replicas at most the number of devices",
                )

    @property
    def parallelism(self) -> str | None:
        """The parallelism asked for in words, None when none is."""
        asked = [
            None if self.tensor_parallel is None else f"tensor parallel {self.tensor_parallel}",
            None if self.pipeline_parallel is None else f"pipeline parallel {self.pipeline_parallel}",
            None if self.replicas is None else f"{self.replicas} replicas",
        ]
        return ", ".join(part for part in asked if part) or None

    def describe(self) -> str:
        """Return the hardware in words."""
        return ", ".join(part for part in (self._devices_in_words(), self.parallelism) if part)

    def _devices_in_words(self) -> str:
        each = self.count // self.nodes
        times = f"{each} × " if each > 1 else ""
        if self.nodes > 1:
            times = f"{self.nodes} nodes of {times}"
        if self.partition is not None:
            return f"{times}{self.partition} of {self.device_id}"
        if self.device_id is not None:
            return f"{times}{self.device_id}" + (
                f" with {format_bytes(self.memory_bytes)}" if self.memory_bytes else ""
            )
        if self.memory_bytes is not None:
            return f"{times}{format_bytes(self.memory_bytes)} {'of RAM on a CPU' if self.kind is DeviceKind.CPU else 'nominal card'}"
        return f"{times}{self.kind.value}, memory not stated and not checked"


class Objective(StrEnum):
    """What is optimized among the candidates that satisfy every constraint."""

    MOST_ACCURATE = "most-accurate"
    FASTEST = "fastest"
    SMALLEST = "smallest"
    CHEAPEST = "cheapest"
    """Least cost per million output tokens where a price and speeds are known, else least device memory in total."""
    HIGHEST_THROUGHPUT = "highest-throughput"


class Effective(msgspec.Struct, frozen=True, kw_only=True):
    """One effective constraint as the answer echoes it."""

    key: str
    sentence: str
    origin: Origin


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A complete question. `origins` maps keys (model, hardware, workload.*, objective, risk, price, constraint keys) to Origin."""

    model: ModelSelector = ModelSelector()
    hardware: Hardware | None = None
    workload: Workload = Workload()
    constraints: tuple[Constraint, ...] = ()
    objective: Objective = Objective.MOST_ACCURATE
    risk: float = DEFAULT_RISK
    rate: float | None = None
    """Requests per second that arrive; replicas are counted for it, each taking the workload's concurrency at once."""
    price: Price | None = None
    """Of one device of `hardware`; the price file fills it in where it is not given."""
    preset: str | None = None
    origins: Mapping[str, Origin] = {}

    def __post_init__(self) -> None:
        if not 0 < self.risk < 0.5:
            raise InvalidInput("risk", f"{self.risk} is out of range", allowed="more than 0, less than 0.5")
        if self.rate is not None and not 0 < self.rate <= MAX_RATE:
            raise InvalidInput(
                "rate",
                f"{self.rate} is out of range",
                allowed=f"more than 0, at most {MAX_RATE:g} requests/s",
            )
        keys = [constraint.key for constraint in self.constraints]
        for key in keys:
            if keys.count(key) > 1:
                raise InvalidInput(key, "is given twice", allowed="each constraint once")

    def origin(self, key: str) -> Origin:
        """Return where the part called `key` came from."""
        return self.origins.get(key, Origin.DEFAULT)

    def effective(self) -> tuple[Effective, ...]:
        """Return every effective constraint in words, with its origin, in a fixed order."""
        rows = [
            ("model", self.model.describe()),
            ("hardware", self.hardware.describe() if self.hardware else "any hardware, memory not checked"),
            ("workload.input_tokens", f"{self.workload.input_tokens} input tokens"),
            ("workload.output_tokens", f"{self.workload.output_tokens} output tokens"),
            ("workload.concurrency", f"concurrency {self.workload.concurrency}"),
            *([("rate", f"{self.rate:g} requests per second")] if self.rate is not None else []),
            *((constraint.key, constraint.describe()) for constraint in self.constraints),
            ("objective", f"objective {self.objective.value}"),
            ("risk", f"memory risk ≤ {format_ratio(self.risk)}"),
            *([("price", self.price.describe())] if self.price else []),
        ]
        return tuple(Effective(key=key, sentence=sentence, origin=self.origin(key)) for key, sentence in rows)


class Preset(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named scenario: workload, constraints and objective for a common situation, all of which a question may override."""

    id: str
    name: str
    description: str
    workload: Workload
    constraints: tuple[Constraint, ...] = ()
    objective: Objective = Objective.MOST_ACCURATE
    aliases: tuple[str, ...] = ()
    """Other names it answers to, in English and Chinese."""
    citations: tuple[str, ...] = ()
