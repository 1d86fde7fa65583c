"""How much each part of a model suffers from each number format: measured, one part at a time, on calibration text.

The figure is the mean divergence of the whole model's predictions from those of the full model. It is what the perplexity
is expected to rise by in nats where the full model predicts its text well, and has far less noise than that rise.
"""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from planner.domain.job import FailureReason
from worker.evaluate.fidelity import score
from worker.failure import JobFailed
from worker.measure.weights import inner_tensors
from worker.progress import Report

if TYPE_CHECKING:
    import torch

    from worker.recipes.recipe import Recipe
    from worker.training.sequences import Ids

Grouping = Literal["module", "block", "layer"]
ONE_SIDED_95: Final = 1.645
"""95 % quantile of the normal distribution."""
_BLOCK: Final = re.compile(r"^(.*?\.\d+)\.")


@dataclass(frozen=True)
class Group:
    """Linear layers that take the same format."""

    name: str
    layers: tuple[str, ...]
    parameters: int

    @property
    def part(self) -> str:
        """The last word of the name: which part of a block it is, the same in every block."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True)
class Deviation:
    """How far the model is from the full one on the calibration text."""

    kl: float
    """Mean divergence of a token's prediction, nats."""
    loss: float
    """Relative rise of perplexity; below zero when it fell."""
    upper: float
    """One-sided 95 % bound of `loss`, from the spread between sequences."""


def group_layers(model: Any, layers: Sequence[str], grouping: Grouping) -> tuple[Group, ...]:
    """Return the layers by the module they share (attention or MLP of one block), by block, or one by one."""
    members: dict[str, list[str]] = {}
    for name in layers:
        block = _BLOCK.match(name)
        key = (
            name
            if grouping == "layer"
            else block.group(1)
            if grouping == "block" and block
            else name.rpartition(".")[0] or name
        )
        members.setdefault(key, []).append(name)
    return tuple(
        Group(
            name=name,
            layers=tuple(names),
            parameters=sum(model.get_submodule(layer).weight.numel() for layer in names),
        )
        for name, names in members.items()
    )


class Probe:
    """Compares a model, changed in place, with how it was when the probe was made.

    The full model's logits are kept on the host in its own number format: tokens x vocabulary.
    """

    def __init__(self, model: Any, sequences: Ids, *, batch: int) -> None:
        import torch

        self._model = model
        self._batches = [
            torch.from_numpy(sequences[start : start + batch]) for start in range(0, len(sequences), batch)
        ]
        self._full = [self._logits(ids).cpu() for ids in self._batches]

    def measure(self) -> Deviation:
        """Return how far the model is now. Raises JobFailed when its predictions are not finite."""
        divergences: list[Any] = []
        rises: list[Any] = []
        for ids, full in zip(self._batches, self._full, strict=True):
            logits = self._logits(ids)
            scores = score(full.to(logits.device), logits, ids[:, 1:].flatten().numpy())
            divergences.append(scores.kl)
            rises.append((scores.variant_nll - scores.baseline_nll).reshape(len(ids), -1).mean(axis=1))
        rise, kl = np.concatenate(rises), float(np.concatenate(divergences).mean())
        if not (np.isfinite(rise).all() and math.isfinite(kl)):
            raise JobFailed(FailureReason.ARTIFACT_CORRUPT, "the model's logits are not finite")
        error = float(rise.std(ddof=1)) / math.sqrt(len(rise)) if len(rise) > 1 else math.inf
        return Deviation(
            kl=kl,
            loss=math.expm1(float(rise.mean())),
            upper=math.expm1(min(float(rise.mean()) + ONE_SIDED_95 * error, 700.0)),
        )

    def _logits(self, ids: torch.Tensor) -> torch.Tensor:
        import torch

        with torch.inference_mode():
            logits: torch.Tensor = self._model(
                input_ids=ids[:, :-1].to(self._model.device), use_cache=False
            ).logits
        return logits.flatten(0, 1)


@contextmanager
def quantized(model: Any, formats: Mapping[str, Recipe]) -> Generator[None]:
    """Quantize the named layers, each by its recipe's configuration, and put the full weights back afterwards."""
    from torchao.quantization import quantize_

    kept = {name: model.get_submodule(name).weight for name in formats}
    try:
        for name, recipe in formats.items():
            config: Any = recipe.torchao_config()
            quantize_(model.get_submodule(name), config, filter_fn=lambda _module, _name: True)
        yield
    finally:
        for name, weight in kept.items():
            layer = model.get_submodule(name)
            layer.weight = weight
            # torchao describes the layer anew each time, around the description before.
            layer.__dict__.pop("extra_repr", None)


@dataclass(frozen=True)
class Sensitivity:
    """One group in one format: the divergence it alone causes, and the bytes it is stored in."""

    kl: float
    stored_bytes: int


def measure_sensitivity(
    model: Any,
    probe: Probe,
    groups: Sequence[Group],
    formats: Mapping[str, Recipe],
    *,
    report: Report,
) -> dict[str, dict[str, Sensitivity]]:
    """Return the sensitivity by group name and format name; a format that a layer of the group refuses is left out."""
    found: dict[str, dict[str, Sensitivity]] = {}
    for number, group in enumerate(groups):
        found[group.name] = {}
        for name, recipe in formats.items():
            layers = [model.get_submodule(layer) for layer in group.layers]
            if any(recipe.refusal(layer.in_features, layer.out_features) for layer in layers):
                continue
            report(number / len(groups), f"sensitivity of {group.name} at {name}")
            with quantized(model, dict.fromkeys(group.layers, recipe)):
                stored = sum(
                    inner.numel() * inner.element_size()
                    for layer in layers
                    for inner in inner_tensors(layer.weight)
                )
                found[group.name][name] = Sensitivity(kl=probe.measure().kl, stored_bytes=stored)
    return found
