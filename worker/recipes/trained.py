"""What recipes that train have in common: rounded layers, a short run over text, then the ordinary quantized build.

After training the weights are written as a plain model and built from there like any other, so what is saved and
reloaded is an ordinary variant that owes nothing to how it was trained.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from planner.domain.profile import Fact
from planner.domain.scheme import ActivationScaling, NumberFormat, Precision, Scheme
from planner.errors import InvalidInput
from worker.measure.memory import release_free_memory
from worker.progress import ignore, part
from worker.recipes.int4_packed import Int4Packed
from worker.recipes.int8_dynamic import Int8Dynamic
from worker.recipes.int8_weight_only import Int8WeightOnly
from worker.recipes.intx_weight_only import IntxWeightOnly
from worker.recipes.recipe import ComputeType, GroupedRecipe, Ingredients, Recipe
from worker.training.checkpointing import Comparison, compare_checkpointing, set_checkpointing
from worker.training.fake_quantization import (
    fake_quantize,
    prepare_config,
    quantizable_layers,
    remove_fake_quantization,
    round_in_packed_groups,
)
from worker.training.loop import Steps, TrainingRun, mean_loss, train
from worker.training.objectives import NextToken
from worker.training.sequences import training_sequences

if TYPE_CHECKING:
    import torch

    from worker.training.objectives import Objective

MAX_STEPS = 1_000_000
_BITS = (2, 3, 4, 5, 6, 8)


class TrainedRecipe(GroupedRecipe, frozen=True, kw_only=True):
    """Base of the recipes that train on text while the model rounds as its built variant will.

    `bits` below 8 are rounded in groups of `group_size`, 8 bits per output row. The defaults take a minute or two for a
    model of a few million parameters on two cores; larger models want more steps and a smaller rate.
    """

    needs_text: ClassVar[bool] = True

    bits: int = 4
    int8_activations: bool = False
    """Whether activations are rounded to 8 bits too, scaled per token."""
    steps: int = 100
    learning_rate: float = 2e-4
    batch: int = 8
    """Sequences of one step."""
    sequence: int = 256
    """Tokens of one sequence."""
    seed: int = 0
    checkpointing: bool = False
    """Compute activations again instead of keeping them; the build then measures what that saves and costs."""
    packed: bool = False
    """Whether to store the integers packed, as `int4_packed` does, which 2 to 4 bits can be; otherwise a byte each."""
    compute: ComputeType = "bfloat16"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bits not in _BITS:
            raise InvalidInput(
                "recipe.bits", f"{self.bits} is not allowed", allowed=", ".join(map(str, _BITS))
            )
        if self.packed:
            if self.int8_activations or self.compute != "bfloat16":
                raise InvalidInput(
                    "recipe.packed", "goes with BF16 activations only", allowed="packed or int8_activations"
                )
            _ = self._untrained  # its own checks of bits and group size
        for name, low, high in (
            ("steps", 1, MAX_STEPS),
            ("batch", 1, 65_536),
            ("sequence", 2, 1_048_576),
            ("seed", 0, 2**63 - 1),
        ):
            if not low <= getattr(self, name) <= high:
                raise InvalidInput(
                    f"recipe.{name}", f"{getattr(self, name)} is out of range", allowed=f"{low} to {high}"
                )
        if not (math.isfinite(self.learning_rate) and 0 < self.learning_rate <= 1):
            raise InvalidInput(
                "recipe.learning_rate", f"{self.learning_rate} is out of range", allowed="above 0, at most 1"
            )

    @property
    @abstractmethod
    def method(self) -> str:
        """How the rounding came about, as the scheme's method and in the variant's name."""

    @abstractmethod
    def objective(self, given: Ingredients) -> Objective:
        """Return what training minimises."""

    def choose_trained(self, model: Any, layers: tuple[str, ...]) -> None:
        """Freeze what is not trained; nothing, unless a recipe says so. `layers` are those that round."""

    @property
    def dtype(self) -> ComputeType:
        """As configured; master copies are FP32 whatever it is."""
        return self.compute

    @property
    def variant_name(self) -> str:
        """Name with bits, method and group size."""
        group = f"-g{self.group_size}" if self.bits < 8 else ""
        return f"int{self.bits}-{self.method}{group}" + (
            "-int8-activations" if self.int8_activations else "-packed" if self.packed else ""
        )

    @property
    def _untrained(self) -> Recipe:
        """The recipe that only rounds, to the same weights."""
        if self.packed:
            return Int4Packed(bits=self.bits, group_size=self.group_size)
        if self.bits < 8:
            return IntxWeightOnly(bits=self.bits, group_size=self.group_size, compute=self.compute)
        if self.int8_activations:
            # Training knows activations with a zero point only.
            return Int8Dynamic(symmetric=False, compute=self.compute)
        return Int8WeightOnly(compute=self.compute)

    @property
    def scheme(self) -> Scheme:
        """Integers of the given width, trained rather than only rounded."""
        scheme = msgspec.structs.replace(self._untrained.scheme, method=self.method)
        if not self.int8_activations:
            return scheme
        return msgspec.structs.replace(
            scheme,
            activation=Precision(format=NumberFormat.INT8, symmetric=False),
            activation_scaling=ActivationScaling.DYNAMIC,
        )

    @property
    def stored_bits(self) -> float:
        """As for the recipe that only rounds."""
        return self._untrained.stored_bits

    def torchao_config(self) -> Any | None:
        """Return the configuration of the built variant; that of the recipe that only rounds."""
        if self.bits == 8 or not self.int8_activations:
            return self._untrained.torchao_config()
        import torch
        from torchao.quantization import Int8DynamicActivationIntxWeightConfig, PerGroup

        return Int8DynamicActivationIntxWeightConfig(
            weight_dtype=getattr(torch, f"int{self.bits}"), weight_granularity=PerGroup(self.group_size)
        )

    def refusal(self, in_features: int, out_features: int) -> str | None:
        """Return the reason when the input width is not a multiple of the group; 8 bits a row take every width."""
        return super().refusal(in_features, out_features) if self.bits < 8 else None

    def build(self, given: Ingredients) -> Any:
        """Train, then quantize; the facts tell losses, seconds and bytes. Raises InvalidInput for a text too short."""
        from worker.engines.loading import load_model

        with tempfile.TemporaryDirectory(prefix="trained-") as folder:
            trained = Path(folder) / "model"
            self._train(given, trained)
            _release(given.device)
            given.report(0.95, "quantizing the trained weights")
            if self.packed:
                return self._untrained.build(
                    dataclasses.replace(given, base=trained, text=None, report=ignore)
                )
            return load_model(
                trained,
                device=given.device,
                dtype=self.dtype,
                torchao_config=self.torchao_config(),
                left_alone=given.left_alone,
            )

    def _train(self, given: Ingredients, out: Path) -> None:
        """Write the trained model, not yet quantized, into the folder `out`."""
        import torch

        from worker.engines.loading import load_model, load_tokenizer

        assert given.text is not None, "build.construct refuses a missing text"
        settings = Steps(
            steps=self.steps,
            learning_rate=self.learning_rate,
            batch=self.batch,
            sequence=self.sequence,
            seed=self.seed,
        )
        given.report(0.0, "reading the text")
        sequences = training_sequences(
            given.text, load_tokenizer(given.base), length=self.sequence, wanted=self.steps * self.batch
        )
        model = load_model(given.base, device=given.device, dtype=self.dtype)
        layers = quantizable_layers(model, given.left_alone)
        held_out = sequences.held_out_batches(self.batch, device=given.device)
        given.facts["training.text_full_precision"] = mean_loss(model, NextToken(), held_out)
        torch.manual_seed(self.seed)
        objective = self.objective(given)
        teacher = getattr(objective, "teacher", None)
        frozen = () if teacher is None else (teacher,)
        if self.packed:
            round_in_packed_groups(model, layers, bits=self.bits, group_size=self.group_size)
        else:
            config = prepare_config(self.torchao_config(), bits=self.bits, activations=self.int8_activations)
            fake_quantize(model, layers, config)
        self.choose_trained(model, layers)
        if self.checkpointing:
            comparison = compare_checkpointing(
                model, objective, sequences, settings, frozen=frozen, report=part(given.report, 0.0, 0.1)
            )
            given.facts.update(_checkpointing_facts(comparison))
            set_checkpointing(model, enabled=True)
        run = train(model, objective, sequences, settings, frozen=frozen, report=part(given.report, 0.1, 0.9))
        given.facts.update(_training_facts(run, settings))
        given.facts["training.objective"] = objective.title
        given.facts["training.sequences"] = len(sequences.train)
        given.facts["training.held_out_sequences"] = len(sequences.held_out)
        set_checkpointing(model, enabled=False)
        remove_fake_quantization(model)
        model.save_pretrained(out)


def _training_facts(run: TrainingRun, settings: Steps) -> dict[str, Fact]:
    facts = {f"training.{name}": value for name, value in msgspec.structs.asdict(run).items()}
    facts["training.tokens"] = run.steps * settings.batch * settings.sequence
    return facts


def _checkpointing_facts(comparison: Comparison) -> dict[str, Fact]:
    facts: dict[str, Fact] = {
        "checkpointing.memory_saved_share": comparison.memory_saved_share,
        "checkpointing.extra_time_share": comparison.extra_time_share,
    }
    for word, cost in (("without", comparison.without), ("with", comparison.checkpointed)):
        facts[f"checkpointing.peak_allocator_bytes_{word}"] = cost.peak_allocator_bytes if cost else None
        facts[f"checkpointing.seconds_per_step_{word}"] = cost.seconds if cost else None
    if comparison.without is None:
        facts["checkpointing.without"] = "did not fit into the device's memory"
    return facts


def _release(device: torch.device) -> None:
    release_free_memory()
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
