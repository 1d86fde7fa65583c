"""The training loop of the reference model: AdamW over packed sequences, one device, one budget.

The token stream and the order of its windows live on the device, a batch is a gather from it, and the host waits for
the device only to report: so the loop is bound by arithmetic. The learning rate follows the share of the budget that is
used, whichever of steps and seconds runs out first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from planner.errors import InvalidInput
from worker.reference.packed import packed_attention

TRAIN_STAGE = "train"
REPORT_SECONDS = 2.0
"""Between reports, each of which waits for the device."""


class Report(Protocol):
    """Receives progress: the stage's name, its finished share from 0 to 1, and a short note."""

    def __call__(self, stage: str, share: float, note: str) -> None:
        """Show that the share of the stage is done."""


class TrainingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to train. At least one of `seconds` and `steps` ends the run; sizes are in tokens and sequences."""

    seed: int = 20
    device: str = "cpu"
    seconds: float | None = None
    steps: int | None = None
    sequence: int = 1024
    batch: int = 64
    learning_rate: float = 3e-3
    final_share: float = 0.02
    warmup_share: float = 0.02
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip_norm: float = 1.0
    evaluations: int = 10
    held_out_sequences: int = 128
    compile: bool = False

    def validate(self) -> None:
        """Raise InvalidInput for a missing budget or a size or rate that is not positive."""
        if self.seconds is None and self.steps is None:
            raise InvalidInput("seconds", "no budget given", allowed="seconds, steps or both")
        for name in (
            "seconds",
            "steps",
            "sequence",
            "batch",
            "learning_rate",
            "clip_norm",
            "held_out_sequences",
        ):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise InvalidInput(name, f"{value} is not positive", allowed="a positive number")

    def rate(self, share: float) -> float:
        """Learning rate after `share` of the budget: linear warm-up, then cosine decay to `final_share`."""
        if share < self.warmup_share:
            return self.learning_rate * share / self.warmup_share
        progress = min(1.0, (share - self.warmup_share) / (1.0 - self.warmup_share))
        cosine = 0.5 * (1.0 + math.cos(math.pi * progress))
        return self.learning_rate * (self.final_share + (1.0 - self.final_share) * cosine)


class LossPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Mean cross-entropy in nats per token at one step."""

    step: int
    seconds: float
    train_loss: float
    held_out_loss: float


class TrainingRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did: `tokens_seen` counts every target token, repeated passes included."""

    steps: int
    seconds: float
    tokens_seen: int
    passes: float
    curve: tuple[LossPoint, ...]

    @property
    def tokens_per_second(self) -> float:
        """Target tokens per second, evaluations on the way included, compiling not."""
        return self.tokens_seen / self.seconds


def sequences(stream: NDArray[np.uint16], length: int, device: str) -> Any:
    """Return the stream as consecutive windows of `length` + 1 tokens, so that each holds `length` targets.

    Shape (n, length + 1), a view without a copy. Raises InvalidInput when the stream holds no whole window.
    """
    import torch

    if len(stream) <= length:
        raise InvalidInput(
            "corpus", f"{len(stream)} tokens", allowed=f"more than one sequence of {length} tokens"
        )
    return torch.from_numpy(stream.astype(np.int32)).to(device).unfold(0, length + 1, length)


def loss_of(model: Any, windows: Any) -> Any:
    """Mean cross-entropy in nats per token of windows of shape (batch, length + 1)."""
    from torch.nn.functional import cross_entropy

    windows = windows.long()
    logits = model(input_ids=windows[:, :-1], use_cache=False).logits
    return cross_entropy(logits.flatten(0, 1).float(), windows[:, 1:].flatten())


def mean_loss(model: Any, windows: Any, *, batch: int) -> float:
    """Mean loss over all windows, without gradients, in whatever precision the model and autocast give."""
    import torch

    total = torch.zeros((), dtype=torch.float64, device=windows.device)
    with torch.no_grad():
        for chunk in windows.split(batch):
            total += loss_of(model, chunk).double() * len(chunk)
    return float(total) / len(windows)


def train(
    model: Any,
    train_stream: NDArray[np.uint16],
    held_out_stream: NDArray[np.uint16],
    settings: TrainingSettings,
    report: Report,
) -> TrainingRun:
    """Train the model in place on the settings' device and return what the run did.

    Raises InvalidInput for settings that allow no run, FloatingPointError when the loss stops being finite.
    """
    import torch

    settings.validate()
    device = torch.device(settings.device)
    model.to(device).train()
    windows = sequences(train_stream, settings.sequence, settings.device)
    held_out = sequences(held_out_stream, settings.sequence, settings.device)[: settings.held_out_sequences]
    optimizer = _optimizer(model, settings, fused=device.type == "cuda")
    step_loss: Callable[[Any, Any], Any] = torch.compile(loss_of) if settings.compile else loss_of
    order = _Order(len(windows), settings.seed, device)
    curve: list[LossPoint] = []
    began = reported = time.perf_counter()
    step, share, next_evaluation = 0, 0.0, 0.0
    with packed_attention(model):
        while True:
            rate = settings.rate(max(share, 1e-4))
            for group in optimizer.param_groups:
                group["lr"] = rate
            picked = order.take(settings.batch)
            with torch.autocast(device.type, dtype=torch.bfloat16):
                loss = step_loss(model, windows[picked])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if step == 0:
                # the first step compiles; the budget is for training
                loss.item()
                began = reported = time.perf_counter()
            step += 1
            now = time.perf_counter()
            share = _used(step, now - began, settings)
            if share >= next_evaluation or share >= 1.0:
                point = _evaluate(model, float(loss.detach()), held_out, settings, step=step, began=began)
                curve.append(point)
                report(
                    TRAIN_STAGE,
                    min(1.0, share),
                    f"step {step}: loss {point.train_loss:.3f}, held out {point.held_out_loss:.3f}",
                )
                next_evaluation = (math.floor(share * settings.evaluations) + 1) / max(
                    1, settings.evaluations
                )
            elif now - reported >= REPORT_SECONDS:
                reported = now
                rate_now = step * settings.batch * settings.sequence / (now - began)
                report(
                    TRAIN_STAGE,
                    share,
                    f"step {step}: loss {float(loss.detach()):.3f}, {rate_now:,.0f} tokens/s",
                )
            if share >= 1.0:
                break
    tokens = step * settings.batch * settings.sequence
    return TrainingRun(
        steps=step,
        seconds=time.perf_counter() - began,
        tokens_seen=tokens,
        passes=tokens / len(train_stream),
        curve=tuple(curve),
    )


def resolve_device(name: Literal["auto"] | str) -> str:  # noqa: PYI051  the literal documents the one special name
    """Return a torch device name, `auto` being CUDA where there is a device; raises InvalidInput for one not there."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu" or (name.startswith("cuda") and torch.cuda.is_available()):
        return name
    raise InvalidInput(
        "device", f"`{name}` is not available", allowed="auto, cpu, or cuda where torch sees a GPU"
    )


class _Order:
    """An endless stream of window numbers on the device: every window once per pass, each pass shuffled anew."""

    def __init__(self, count: int, seed: int, device: Any) -> None:
        self._count = count
        self._device = device
        # On the host, so that the order is the same whatever the device.
        self._generator = np.random.default_rng(seed)
        self._left = self._shuffled()

    def take(self, count: int) -> Any:
        import torch

        while len(self._left) < count:
            self._left = torch.cat([self._left, self._shuffled()])
        taken, self._left = self._left[:count], self._left[count:]
        return taken

    def _shuffled(self) -> Any:
        import torch

        return torch.from_numpy(self._generator.permutation(self._count)).to(self._device)


def _used(step: int, elapsed: float, settings: TrainingSettings) -> float:
    by_steps = step / settings.steps if settings.steps else 0.0
    by_time = elapsed / settings.seconds if settings.seconds else 0.0
    return max(by_steps, by_time)


def _optimizer(model: Any, settings: TrainingSettings, *, fused: bool) -> Any:
    import torch

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in parameters if parameter.ndim >= 2]
    vectors = [parameter for parameter in parameters if parameter.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=fused)


def _evaluate(
    model: Any, train_loss: float, held_out: Any, settings: TrainingSettings, *, step: int, began: float
) -> LossPoint:
    import torch

    if not math.isfinite(train_loss):
        raise FloatingPointError(f"the loss is {train_loss} at step {step}; lower the learning rate")
    model.eval()
    with torch.autocast(torch.device(settings.device).type, dtype=torch.bfloat16):
        held_out_loss = mean_loss(model, held_out, batch=settings.batch)
    model.train()
    return LossPoint(
        step=step, seconds=time.perf_counter() - began, train_loss=train_loss, held_out_loss=held_out_loss
    )
