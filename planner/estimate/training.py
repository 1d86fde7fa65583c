"""Training: bytes of one device and operations of full fine-tuning, quantization-aware training and distillation.

States per parameter, with AdamW in mixed precision: weight 2, gradient 2, and 12 of the optimizer, which are the FP32
master copy (4) and two moments (8): Rajbhandari et al., ZeRO, arXiv:1910.02054, section 3.1. ZeRO divides them over N
devices: stage 1 the optimizer's, stage 2 gradients too, stage 3 weights too (section 5).

Activations per token and layer follow Korthikanti et al. 2022, arXiv:2205.05198, equations 1 to 5, counted tensor by
tensor so that gated MLPs, grouped queries and any widths are right: with their shape and dropout they give exactly
34 h + 5 a s bytes without recomputation, 34 h when the scores are recomputed, and 2 h when everything is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from planner.domain.architecture import Architecture
from planner.domain.device import Device
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.scheme import NumberFormat
from planner.domain.training import Recomputation, TrainingMethod, TrainingSetup
from planner.domain.units import Unit
from planner.estimate.priors import CONFIDENCE, DEFAULT_LINK, TRANSFORMERS, Prior

ELEMENT: Final = 2
"""Bytes of a weight, gradient or activation in BF16."""
MASTER: Final = 4
MOMENTS: Final = 8
FULL_PRECISION: Final = 4


def _prior(value: float, lo: float, hi: float, source: str) -> Prior:
    return Prior(value=value, lo=lo, hi=hi, unit=Unit.RATIO, source=source)


_MEASURED: Final = (
    "measured by torch's allocator on a Llama of 5.8 M parameters on a CPU, see docs/training.md"
)
ACTIVATION_SPREAD: Final = _prior(
    1.2, 0.9, 1.9, f"kept tensors over those counted, since eager norms keep FP32 copies; {_MEASURED}"
)
LOGIT_BYTES: Final = _prior(
    12, 8, 20, f"per token and vocabulary entry: FP32 logits, log-probabilities and a gradient; {_MEASURED}"
)
TEACHER_LOGIT_BYTES: Final = _prior(
    8, 4, 14, f"per token and vocabulary entry: the teacher's log-probabilities and the products; {_MEASURED}"
)
ROUNDED_BYTES: Final = _prior(
    4, 2, 6, f"per linear weight: the rounded weight and what its rounding keeps; {_MEASURED}"
)
STEP_BYTES: Final = _prior(
    3.5, 2, 8,
    f"per parameter, beside states and 16-bit gradients: FP32 gradients, and on GPUs a temporary of all; {_MEASURED}",
)  # fmt: skip
FINAL_NORM_ELEMENTS: Final = 5
"""Elements per token and width kept after the last layer: norm input, two FP32 copies of it."""
FRAGMENTATION: Final = _prior(
    0.03, 0.0, 0.12, "share of what comes and goes: allocators fragment, at worst 30 % (arXiv:1910.02054, section 3.2)"
)  # fmt: skip
UTILIZATION: Final = _prior(
    0.38, 0.15, 0.56,
    "share of peak matrix throughput, operations of recomputation counted: 46 % of PaLM (arXiv:2204.02311), 42 to 56 % "
    "of Korthikanti et al. 2022; small models and slow links reach less",
)  # fmt: skip
ROUNDING_TIME: Final = _prior(
    1.1, 1.0, 1.6, "rounding weights in the forward pass moves bytes and does no matrix products"
)


@dataclass(frozen=True, slots=True)
class Amount:
    """A number with both ends of its spread at the priors' confidence."""

    value: float
    lo: float
    hi: float

    @classmethod
    def exact(cls, value: float) -> Amount:
        """Return a number that is known exactly."""
        return cls(value, value, value)

    @classmethod
    def of(cls, scale: float, prior: Prior) -> Amount:
        """Return `scale` times a prior."""
        return cls(scale * prior.value, scale * prior.lo, scale * prior.hi)

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.value + other.value, self.lo + other.lo, self.hi + other.hi)

    def greater(self, other: Amount) -> Amount:
        """Return the greater of the two, end by end."""
        return Amount(max(self.value, other.value), max(self.lo, other.lo), max(self.hi, other.hi))

    def figure(self, unit: Unit, note: str | None = None) -> Figure:
        """Return it as a modelled figure."""
        interval = Interval(lo=min(self.lo, self.value), hi=max(self.hi, self.value), confidence=CONFIDENCE)
        return Figure(value=self.value, unit=unit, basis=Basis.MODELLED, interval=interval, note=note)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What is trained: the student's shape, the teacher's where there is one, and how."""

    method: TrainingMethod
    student: Architecture
    teacher: Architecture | None = None
    fused_attention: bool = True

    @property
    def rounds(self) -> bool:
        """Whether linear weights are rounded in the forward pass."""
        return self.method is not TrainingMethod.FINETUNE


def _mlp_width(architecture: Architecture) -> int:
    """Return the MLP width that one token meets in the widest layer."""
    experts = architecture.experts
    if experts is None:
        return architecture.intermediate_size
    used = experts.active * experts.intermediate_size + experts.shared_intermediate_size
    return max(architecture.intermediate_size, used)


def activation_bytes_per_token(
    architecture: Architecture,
    *,
    sequence: int,
    recomputation: Recomputation,
    fused_attention: bool,
    dropout: bool = False,
) -> float:
    """Return bytes kept per token and layer for the backward pass, in 16 bits; see the module for the source.

    Norm inputs 2h, inputs of the attention and MLP projections 2h, queries, keys, values and attention output, inputs and
    product of the MLP's activation; with `dropout` one byte for each mask element. Scores add 2 a s bytes (5 a s with
    dropout) unless a fused kernel or recomputation spares them.
    """
    a = architecture
    if recomputation is Recomputation.FULL:
        return float(ELEMENT * a.hidden_size)
    queries = a.heads * a.head_dim
    values = queries
    keys_values = 2 * a.kv_heads * a.head_dim
    if a.mla is not None:
        queries = a.heads * (a.mla.nope_head_dim + a.mla.rope_head_dim)
        values = a.heads * a.mla.value_head_dim
        keys_values = queries + values
    elements = 4 * a.hidden_size + queries + values + keys_values
    elements += (4 if a.gated_mlp else 2) * _mlp_width(a)
    kept = float(ELEMENT * elements + (2 * a.hidden_size if dropout else 0))
    if recomputation is Recomputation.NONE and not fused_attention:
        seen = [min(sequence, a.sliding_window or sequence)] * a.sliding_layers
        seen += [sequence] * (a.layers - a.sliding_layers)
        kept += a.heads * (5 if dropout else ELEMENT) * sum(seen) / a.layers
    return kept


def _scaled(amount: Amount, share: float) -> Amount:
    return Amount(amount.value * share, amount.lo * share, amount.hi * share)


def _passing(training: Training, setup: TrainingSetup, logits: Amount) -> tuple[Amount, Amount, Amount]:
    """Return activations, rounded weights, and the most of both with the logits that is held at one time.

    Without full recomputation all of it is, when the loss is taken. With it, either the logits are, or what the backward
    pass of one layer needs; both beside the inputs of all layers.
    """
    a = training.student
    tokens = setup.micro_batch * setup.sequence
    after = Amount.exact(float(tokens * FINAL_NORM_ELEMENTS * ELEMENT * a.hidden_size))

    def layer(recomputation: Recomputation) -> float:
        return tokens * activation_bytes_per_token(
            a, sequence=setup.sequence, recomputation=recomputation, fused_attention=training.fused_attention
        )

    rounded = Amount.of(float(a.linear_parameters if training.rounds else 0), ROUNDED_BYTES)
    if setup.recomputation is not Recomputation.FULL:
        activations = Amount.of(layer(setup.recomputation) * a.layers, ACTIVATION_SPREAD) + after
        return activations, rounded, activations + rounded + logits
    inputs = Amount.exact(layer(Recomputation.FULL) * a.layers)
    again = Amount.of(layer(Recomputation.NONE), ACTIVATION_SPREAD)
    rounded = _scaled(rounded, 1 / a.layers)
    return inputs + again, rounded, inputs + (after + logits).greater(again + rounded)


def training_bytes(
    training: Training, setup: TrainingSetup, *, accelerated: bool | None
) -> dict[str, Amount]:
    """Return the terms of the peak of one device by the names of `TrainingMemory`, and their total.

    Gradients come as activations go, unless micro-batches add theirs up or devices exchange them: then they are held
    throughout. `accelerated` None leaves out what is outside torch's allocator.
    """
    parameters = training.student.parameters
    shards = [setup.devices if setup.zero_stage >= stage else 1 for stage in (3, 2, 1)]
    widest = max(
        training.student.linear_parameters / training.student.layers, training.student.embedding_parameters
    )
    gathered = ELEMENT * widest if setup.zero_stage >= 3 and setup.devices > 1 else 0.0
    weights = Amount.exact(ELEMENT * parameters / shards[0] + gathered)
    gradients = Amount.exact(ELEMENT * parameters / shards[1])
    optimizer = Amount.exact((MASTER + MOMENTS) * parameters / shards[2])
    vocabulary = float(setup.micro_batch * setup.sequence * training.student.vocab_size)
    logits = Amount.of(vocabulary, LOGIT_BYTES)
    teacher = Amount.exact(0.0)
    if training.teacher is not None:
        teacher = Amount.exact(ELEMENT * training.teacher.parameters / shards[0])
        logits += Amount.of(vocabulary, TEACHER_LOGIT_BYTES)
    activations, rounded, passing = _passing(training, setup, logits)
    step = Amount.of(parameters / shards[2], STEP_BYTES)
    held = setup.accumulation > 1 or setup.devices > 1
    moving = (passing + gradients if held else passing).greater(step + gradients)
    overhead = Amount.exact(0.0)
    if accelerated is not None:
        loose = Amount(
            moving.value * FRAGMENTATION.value, moving.lo * FRAGMENTATION.lo, moving.hi * FRAGMENTATION.hi
        )
        overhead = _overhead(setup.devices, accelerated=accelerated) + loose
    return {
        "weights": weights,
        "gradients": gradients,
        "optimizer": optimizer,
        "activations": activations,
        "logits": logits,
        "rounded_weights": rounded,
        "teacher": teacher,
        "step_workspace": step,
        "overhead": overhead,
        "total": weights + optimizer + teacher + moving + overhead,
    }


def _overhead(devices: int, *, accelerated: bool) -> Amount:
    runtime = TRANSFORMERS
    overhead = Amount.of(1.0, runtime.overhead_gpu if accelerated else runtime.overhead_cpu)
    if devices > 1:
        overhead += Amount.of(1.0, runtime.overhead_multi_device)
    return overhead


def operations_per_token(training: Training, setup: TrainingSetup) -> float:
    """Return operations of one trained token: 6 per parameter used (8 per one of the layers with full recomputation).

    A teacher adds 2 per parameter of its own.
    Kaplan et al. 2020, arXiv:2001.08361, section 2.1; attention adds 12 (16) x layers x heads x head size x length
    (PaLM, arXiv:2204.02311, appendix B), half of it below the diagonal, which is not counted off.
    """
    student = training.student
    done = 3 * _forward_operations(student, setup.sequence, head=True)
    if setup.recomputation is Recomputation.FULL:
        done += _forward_operations(student, setup.sequence, head=False)
    if training.teacher is not None:
        done += _forward_operations(training.teacher, setup.sequence, head=True)
    return done


def _forward_operations(architecture: Architecture, sequence: int, *, head: bool) -> float:
    used = architecture.active_parameters - architecture.embedding_parameters
    used += architecture.vocab_size * architecture.hidden_size if head else 0
    return 2.0 * used + 4.0 * architecture.layers * architecture.heads * architecture.head_dim * sequence


def training_seconds(
    training: Training, setup: TrainingSetup, device: Device | None, *, tokens: int, steps: int
) -> Amount | None:
    """Return the time of the whole training; None where the device's 16-bit matrix throughput is not known.

    Arithmetic over the devices at the utilization prior. Gradients are exchanged once a step, and weights gathered in every
    pass under ZeRO stage 3; the exchange is hidden behind the arithmetic at best, and added to it at worst.
    """
    peak = device.peak.of(NumberFormat.BF16) if device is not None else None
    if device is None or peak is None:
        return None
    ideal = operations_per_token(training, setup) * tokens / (peak * setup.devices)
    slow = ROUNDING_TIME if training.rounds else _prior(1.0, 1.0, 1.0, "")
    arithmetic = Amount(
        ideal / UTILIZATION.value * slow.value,
        ideal / UTILIZATION.hi * slow.lo,
        ideal / UTILIZATION.lo * slow.hi,
    )
    if setup.devices == 1:
        return arithmetic
    share = (setup.devices - 1) / setup.devices
    gathers = 2 * setup.accumulation if setup.zero_stage >= 3 else 1
    moved = ELEMENT * training.student.parameters * share * (1 + gathers)
    exchange = moved / (device.interconnect_bytes_per_second or DEFAULT_LINK) * steps
    return Amount(
        max(arithmetic.value, exchange) + 0.25 * min(arithmetic.value, exchange),
        max(arithmetic.lo, exchange),
        arithmetic.hi + exchange,
    )


def steps_of(tokens: int, batch: int, sequence: int) -> int:
    """Return the optimizer steps that `tokens` make."""
    return math.ceil(tokens / (batch * sequence))
