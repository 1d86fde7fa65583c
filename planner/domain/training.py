"""Training: what is to be trained on which hardware, and what that takes."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from planner.domain.figure import Figure
from planner.domain.scenario import DEFAULT_RISK, Hardware, ModelSelector
from planner.errors import InvalidInput

MAX_TOKENS: Final = 10**15
MAX_SEQUENCE: Final = 10_000_000
MAX_BATCH: Final = 1_000_000


class TrainingMethod(StrEnum):
    """How weights are trained. All of them are: adapters are another matter."""

    FINETUNE = "finetune"
    QAT = "qat"
    """Quantization-aware: linear weights are rounded in the forward pass."""
    DISTILLATION = "distillation"
    """Towards the predictions of a teacher, with rounded weights as in QAT."""


class Recomputation(StrEnum):
    """Which activations are computed again in the backward pass instead of being kept."""

    NONE = "none"
    SELECTIVE = "selective"
    """The attention scores only (Korthikanti et al. 2022); fused attention kernels do so anyway."""
    FULL = "full"
    """Everything but the input of each layer: gradient checkpointing (Chen et al. 2016)."""


class TrainingSetup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a training is laid out over the devices."""

    devices: int
    micro_batch: int
    """Sequences that one device works on at once."""
    recomputation: Recomputation
    zero_stage: int
    """What is sharded over the devices: 1 optimizer states, 2 gradients too, 3 weights too (Rajbhandari et al. 2020)."""
    sequence: int
    accumulation: int = 1
    """Micro-batches of one device in a step."""


class TrainingRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A training to be judged: in words ("qat 7B on 2x24GB"), or with `method`, `model` and `hardware`.

    What is None is chosen: as little recomputation and sharding, and as large a micro-batch, as fits.
    """

    query: str | None = None
    method: TrainingMethod | None = None
    model: ModelSelector | None = None
    hardware: Hardware | None = None
    teacher: ModelSelector | None = None
    """Of a distillation; the model itself unless given."""
    tokens: int = 100_000_000
    """Tokens trained on in all."""
    batch: int = 8
    """Sequences of one step over all devices."""
    sequence: int = 2048
    micro_batch: int | None = None
    recomputation: Recomputation | None = None
    zero_stage: int | None = None
    fused_attention: bool = True
    """Attention never holds the scores of all pairs of tokens at once (FlashAttention and the like)."""
    risk: float = DEFAULT_RISK

    def __post_init__(self) -> None:
        for field, top in (("tokens", MAX_TOKENS), ("batch", MAX_BATCH), ("sequence", MAX_SEQUENCE)):
            value = getattr(self, field)
            if not 1 <= value <= top:
                raise InvalidInput(field, f"{value} is out of range", allowed=f"1 to {top}")
        if self.micro_batch is not None and not 1 <= self.micro_batch <= self.batch:
            raise InvalidInput(
                "micro_batch",
                f"{self.micro_batch} is out of range",
                allowed=f"1 to the batch of {self.batch}",
            )
        if self.zero_stage is not None and not 0 <= self.zero_stage <= 3:
            raise InvalidInput("zero_stage", f"{self.zero_stage} is out of range", allowed="0 to 3")
        if not 0 < self.risk < 0.5:
            raise InvalidInput("risk", f"{self.risk} is out of range", allowed="more than 0, less than 0.5")
        stated = any(part is not None for part in (self.method, self.model, self.hardware))
        if (self.query is not None) == stated:
            raise InvalidInput(
                "query",
                "is given beside method, model or hardware, or nothing is",
                allowed="a query, or method, model and hardware",
            )


class TrainingMemory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Peak bytes of one device, term by term. What only the step of the optimizer needs is not there with activations."""

    weights: Figure
    gradients: Figure
    optimizer: Figure
    """FP32 master weights and both moments of AdamW."""
    activations: Figure
    logits: Figure
    rounded_weights: Figure
    """Rounded copies that the backward pass needs; zero without rounding."""
    teacher: Figure
    step_workspace: Figure
    """What the optimizer's step holds beside the states, after activations and logits are gone."""
    overhead: Figure
    total: Figure
    """States, overhead, and the most that is held of the rest at one time: terms that take turns are not added up."""
    capacity: Figure | None = None
    fit_probability: float | None = None


class TrainingChange(msgspec.Struct, frozen=True, kw_only=True):
    """The least change, or a set of them, with which it fits; computed anew before it is offered."""

    change: str
    setup: TrainingSetup
    total: Figure
    fit_probability: float


class TrainingAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether a training fits, what it takes of each device, how long it runs, and what would make it fit."""

    request: TrainingRequest
    method: TrainingMethod
    model_id: str
    parameters: int
    teacher_id: str | None
    hardware: Hardware
    fits: bool
    setup: TrainingSetup
    """The one that fits with the least recomputation; where none does, the one that comes nearest."""
    memory: TrainingMemory
    steps: int
    operations: Figure
    """Arithmetic operations in all."""
    seconds: Figure | None = None
    """None where the device's matrix throughput is not known."""
    changes: tuple[TrainingChange, ...] = ()
    notes: tuple[str, ...] = ()
