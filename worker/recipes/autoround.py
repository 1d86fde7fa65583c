"""Calibrated 4-bit weights by AutoRound: rounding and scales are tuned by signed gradient descent, block by block.

AutoRound (arXiv:2309.05516) stands for the GPTQ and AWQ class here. It only tunes; the integers it settles on are stored
as `int4_packed` stores its own, so loading and running needs no further library.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from planner.domain.job import FailureReason
from planner.domain.scheme import Precision, Scheme
from planner.errors import InvalidInput
from worker.failure import JobFailed
from worker.progress import Report
from worker.recipes.int4_packed import FORMATS, GROUPS
from worker.recipes.recipe import ComputeType, Ingredients, group_refusal
from worker.recipes.stored import StoredRecipe

if TYPE_CHECKING:
    import torch
    from torch import nn

    from worker.engines.formats.packed_linear import PackedLinear

_OFF_GRID = 0.25
"""Most that a tuned weight may lie from a multiple of its scale, in scales: BF16 rounding leaves up to 0.03."""


class Autoround(StoredRecipe, frozen=True, kw_only=True, tag="autoround"):
    """Symmetric integers of `bits` bits in groups, rounding tuned on text."""

    title: ClassVar[str] = "4-bit (or 2-, 3-bit) weights in groups, rounding tuned on text"
    requires: ClassVar[tuple[str, ...]] = ("library:auto-round",)
    needs_text: ClassVar[bool] = True

    bits: int = 4
    group_size: int = 128
    iterations: int = 200
    """Steps for each block; 0 rounds to nearest by AutoRound's own rule."""
    samples: int = 128
    """Sequences to tune on."""
    sequence: int = 2048
    """Tokens of each, at most the model's context."""
    batch: int = 8
    """Sequences of one step."""
    seed: int = 42

    def __post_init__(self) -> None:
        if self.bits not in FORMATS:
            raise InvalidInput("recipe.bits", f"{self.bits} is not allowed", allowed="2, 3, 4")
        if self.group_size not in GROUPS:
            raise InvalidInput(
                "recipe.group_size", f"{self.group_size} is not allowed", allowed=", ".join(map(str, GROUPS))
            )
        for field, least, most in (
            ("iterations", 0, 10_000),
            ("samples", 1, 65_536),
            ("sequence", 32, 131_072),
            ("batch", 1, 1024),
            ("seed", 0, 2**31 - 1),
        ):
            value = getattr(self, field)
            if not least <= value <= most:
                raise InvalidInput(
                    f"recipe.{field}", f"{value} is out of range", allowed=f"{least} to {most}"
                )

    @property
    def needs(self) -> tuple[str, ...]:
        """Nothing: what was tuned is stored as plain packed integers."""
        return ()

    @property
    def dtype(self) -> ComputeType:
        """BF16, the only one the kernels take."""
        return "bfloat16"

    @property
    def variant_name(self) -> str:
        """Name with bits and group size."""
        return f"int{self.bits}-autoround-g{self.group_size}"

    @property
    def scheme(self) -> Scheme:
        """Symmetric integers of the given width."""
        return Scheme(
            weight=Precision(format=FORMATS[self.bits], group_size=self.group_size), method="autoround"
        )

    @property
    def file_format(self) -> str:
        """Packed integers."""
        return "pack-quantized"

    def refusal(self, in_features: int, out_features: int) -> str | None:
        """Return the reason when the input width is not a multiple of the group."""
        del out_features
        return group_refusal(in_features, self.group_size)

    def quantizers(self) -> dict[str, Any]:
        """Return the declaration of grouped integers."""
        return {
            "weights": {
                "num_bits": self.bits,
                "type": "int",
                "symmetric": True,
                "strategy": "group",
                "group_size": self.group_size,
                "dynamic": False,
            },
            "input_activations": None,
        }

    def observe(self, model: Any, given: Ingredients) -> Mapping[str, torch.Tensor]:
        """Tune the model's weights in place and return the scales by layer.

        Raises InvalidInput when the text gives no sequence.
        """
        import torch

        from worker.engines.loading import load_tokenizer

        tokenizer = load_tokenizer(given.base)
        sequences = self._sequences(model, tokenizer, given)
        given.facts["calibration_windows"] = len(sequences)
        given.facts["calibration_tokens"] = sum(ids.numel() for ids in sequences)
        batches = [
            {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            for ids in (
                torch.stack(sequences[i : i + self.batch]) for i in range(0, len(sequences), self.batch)
            )
        ]
        with _progress(given.report, blocks=int(model.config.get_text_config().num_hidden_layers)):
            tuner = import_module("auto_round").AutoRound(
                model,
                tokenizer,
                bits=self.bits,
                group_size=self.group_size,
                sym=True,
                iters=self.iterations,
                nsamples=len(sequences),
                seqlen=sequences[0].numel(),
                batch_size=self.batch,
                dataset=batches,
                device_map=str(given.device),
                layer_config={name: {"bits": 16} for name in given.left_alone} or None,
                scale_dtype=torch.bfloat16,
                enable_torch_compile=False,
                seed=self.seed,
            )
            tuned, _ = tuner.quantize()
        if tuned is not model:
            raise JobFailed(FailureReason.CRASHED, "AutoRound returned another model than it was given")
        return {
            name: layer.scale
            for name, layer in model.named_modules()
            if getattr(layer, "scale", None) is not None
        }

    def quantize(self, name: str, layer: nn.Linear, observed: Mapping[str, torch.Tensor]) -> PackedLinear:
        """Return the integers that the tuned weight of one layer is made of.

        Raises JobFailed(artifact_corrupt) when it is not made of multiples of its scales.
        """
        import torch

        from worker.engines.formats.packed_linear import Integers, PackedLinear

        out = layer.out_features
        scales = observed[name].reshape(out, -1).to(device=layer.weight.device, dtype=torch.bfloat16)
        steps = layer.weight.detach().float().reshape(out, scales.shape[1], -1) / scales.float()[..., None]
        signed = steps.round()
        half = 2 ** (self.bits - 1)
        off = float((steps - signed).abs().max())
        if not off <= _OFF_GRID or float(signed.min()) < -half or float(signed.max()) > half - 1:
            raise JobFailed(
                FailureReason.ARTIFACT_CORRUPT, f"`{name}`: tuned weights lie {off:.2g} scales off their grid"
            )
        values = (signed + half).to(torch.uint8).reshape(out, -1)
        integers = Integers(values, scales, torch.full_like(scales, half, dtype=torch.uint8))
        return PackedLinear.of(integers, layer.bias, bits=self.bits, symmetric=True)

    def _sequences(self, model: Any, tokenizer: Any, given: Ingredients) -> list[torch.Tensor]:
        """Return equally long sequences of tokens: the documents' beginnings, joined and cut."""
        import torch

        from worker.engines.loading import context_limit

        length = min(self.sequence, context_limit(model) or self.sequence)
        ids: list[int] = []
        for document in given.text.documents if given.text else ():
            ids += tokenizer(document.text, verbose=False)["input_ids"][:length]
            if len(ids) >= length * self.samples:
                break
        count = min(self.samples, len(ids) // length)
        if count == 0:
            raise InvalidInput(
                "dataset", f"has {len(ids)} tokens", allowed=f"at least the {length} tokens of one sequence"
            )
        return list(torch.tensor(ids[: count * length]).reshape(count, length))


@contextmanager
def _progress(report: Report, *, blocks: int) -> Generator[None]:
    """Turn AutoRound's log, which tells of every finished block, into progress instead of printing it."""
    logger = logging.getLogger("autoround")
    handlers, propagate, done = list(logger.handlers), logger.propagate, 0

    def emit(record: logging.LogRecord) -> None:
        nonlocal done
        if record.getMessage().startswith("quantized "):
            done = min(done + 1, blocks)
            report(done / blocks, f"tuned block {done} of {blocks}")

    listener = logging.Handler()
    listener.emit = emit  # type: ignore[method-assign]
    logger.handlers, logger.propagate = [listener], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = handlers, propagate
