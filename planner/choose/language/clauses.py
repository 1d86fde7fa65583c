"""What each clause of a query says, before it is decided what the whole query means.

Numbers are exact decimals as written; each clause knows its place in the normalised text, for errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from planner.domain.constraint import CostBasis, Direction, LatencyMetric, Scope
from planner.domain.device import DeviceKind
from planner.domain.loss import LossKind
from planner.domain.scenario import Objective


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the normalised text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """A part of the query and the place it stands at."""

    at: Span

    @property
    def start(self) -> int:
        """Where it begins."""
        return self.at.start

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.at.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity(Clause):
    """A number with its unit as written, and the direction of its comparator: UP is "at least", DOWN "at most"."""

    number: Decimal
    unit: str = ""
    bound: Direction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Separator(Clause):
    """A comma, "and" or the like: what follows does not belong to what stands before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNamed(Clause):
    """One model, by id."""

    model_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyNamed(Clause):
    """A family or the beginning of one."""

    family: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeNamed(Clause):
    """A size class in parameters."""

    size: Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyModel(Clause):
    """Any model will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyHardware(Clause):
    """No hardware is stated, on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNamed(Clause):
    """A device by id, with how many of them where that is said."""

    device_id: str
    count: Quantity | None = None


class MemoryWord(StrEnum):
    """What a clause calls the memory it states."""

    VRAM = "VRAM"
    RAM = "RAM"
    GPU = "GPU"
    BOARD = "BOARD"
    LIMITED = "LIMITED"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStated(Clause):
    """Memory of each device."""

    size: Quantity
    word: MemoryWord | None = None
    count: Quantity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorNamed(Clause):
    """A kind of device without a name: "cpu", "2 gpus"."""

    kind: DeviceKind
    count: Quantity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CountStated(Clause):
    """How many devices: "2 cards", "两张"."""

    count: Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitStated(Clause):
    """How a model is to be split over devices, or how often: "tp 4", "3 replicas"."""

    field: str
    """A field of Hardware: tensor_parallel, pipeline_parallel or replicas."""
    count: Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesStated(Clause):
    """How many machines the devices are in; `spread` says that the devices counted are those of all of them."""

    count: Quantity
    spread: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceNamed(Clause):
    """A Multi-Instance GPU slice, with how many of them where that is said."""

    name: str
    count: Quantity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRateStated(Clause):
    """Requests per second that arrive."""

    amount: Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskStated(Clause):
    """Size of the files."""

    size: Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class LossStated(Clause):
    """A limit of loss; the unit is "%" or "points"."""

    amount: Quantity
    kind: LossKind | None = None
    task: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryStated(Clause):
    """A floor of recovery, one minus the relative loss."""

    amount: Quantity
    task: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyStated(Clause):
    """Accuracy against the baseline: a loss with "within 1 %", a recovery with "99 % of the baseline"."""

    amount: Quantity
    against_baseline: bool
    task: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNamed(Clause):
    """A task on its own: it belongs to the loss beside it."""

    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedOnly(Clause):
    """Loss limits must be shown to hold, not only be likely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceStated(Clause):
    """Confidence of the loss bound."""

    amount: Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyStated(Clause):
    """A limit of a latency quantile."""

    metric: LatencyMetric
    limit: Quantity
    quantile: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantileNamed(Clause):
    """A quantile on its own: it belongs to the latency beside it."""

    quantile: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThroughputStated(Clause):
    """A floor of generated tokens per second."""

    rate: Quantity
    scope: Scope | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostStated(Clause):
    """A limit of cost; the unit is the currency, where one is given."""

    amount: Quantity
    basis: CostBasis | None = None


class WorkloadPart(StrEnum):
    """Which number of the workload a clause gives."""

    INPUT = "input tokens"
    OUTPUT = "output tokens"
    CONTEXT = "context"
    CONCURRENCY = "concurrency"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadStated(Clause):
    """A number of the workload."""

    part: WorkloadPart
    amount: Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class BareNumber(Clause):
    """A number that says nothing about what it counts."""

    number: Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeWord(Clause):
    """Words that describe one scheme together, such as "awq int4"."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemesNamed(Clause):
    """Schemes that are wanted, or with `exclude` not wanted."""

    schemes: tuple[SchemeWord, ...]
    exclude: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeNamed(Clause):
    """The runtime to run under."""

    name: str
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatNamed(Clause):
    """The file format."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseNamed(Clause):
    """The license."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskStated(Clause):
    """Accepted probability of running out of memory."""

    amount: Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveNamed(Clause):
    """What to optimize."""

    objective: Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetNamed(Clause):
    """A named scenario."""

    preset_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlimited(Clause):
    """A constraint of the preset that does not apply, by key."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Clause):
    """Words that are understood and cannot be answered; `reason` is a key of `words.REFUSALS`."""

    reason: str
