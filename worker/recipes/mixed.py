"""Mixed precision, the adaptive recipe: each part of the model gets the format it can bear, as measured.

Sensitivity is measured part by part, an exact optimizer finds the frontier of size against predicted loss, and points
of it are measured on the whole model before one is taken: the smallest within a loss, or the best within a size.
"""

from __future__ import annotations

import fnmatch
import math
import time
from collections import OrderedDict
from functools import cached_property
from typing import Any, ClassVar, Final, Literal

from planner.domain.scheme import Scheme
from planner.errors import InvalidInput
from worker.measure.memory import release_free_memory
from worker.measure.weights import count_weights
from worker.progress import part
from worker.recipes.int4_tile_packed import Int4TilePacked
from worker.recipes.int8_dynamic import Int8Dynamic
from worker.recipes.int8_weight_only import Int8WeightOnly
from worker.recipes.intx_weight_only import IntxWeightOnly
from worker.recipes.knapsack import Option, find_frontier
from worker.recipes.mix_record import FULL, Table, kept_reasons, mix_facts, sensitivity_facts
from worker.recipes.mix_search import MixSearch
from worker.recipes.recipe import FORMAT_OF, ComputeType, Ingredients, Recipe
from worker.recipes.sensitivity import (
    Group,
    Grouping,
    Probe,
    group_layers,
    measure_sensitivity,
    quantized,
)
from worker.training.sequences import pack

FORMATS: Final = ("int8", "int8_dynamic", "int6", "int5", "int4", "int3", "int2", "int4_tile_packed")
_CUDA: Final = ("cuda", "cc>=8.0")


class Mixed(Recipe, frozen=True, kw_only=True, dict=True, tag="mixed"):
    """Keep sensitive layers at 16 bits and quantize the others, under a budget of loss or of size.

    `budget` is, by `limit`: the relative rise of perplexity on the calibration text that is allowed, its upper 95 % bound
    counting, at the fewest bits (`loss`; 0.01 is 1 %); the average bits of a linear weight, scales included, at the least
    loss (`bits`); or the bytes of all weights as they are stored (`bytes`). Formats that torchao stores unpacked save bits
    but no bytes.
    """

    title: ClassVar[str] = (
        "Mixed precision: layers get 16 bits or fewer by measured sensitivity, within a budget"
    )
    needs_text: ClassVar[bool] = True

    formats: str = "int8,int4"
    """What a layer may get besides 16 bits, separated by commas."""
    group_size: int = 32
    """Weights of a row that share a scale, in the formats below 8 bits."""
    limit: Literal["loss", "bits", "bytes"] = "loss"
    """What the budget bounds: the relative loss, the bits a weight of a linear layer takes, or the bytes of all weights."""
    budget: float = 0.01
    """The bound itself: a share such as 0.01 for `loss`, else a number of bits or bytes."""
    keep: str = ""
    """Patterns of layer names that keep 16 bits whatever their sensitivity, separated by commas, such as `*.self_attn.*`."""
    grouping: Grouping = "module"
    """Which layers share a format: attention or MLP of a block (`module`), a whole `block`, or each `layer` its own."""
    sequences: int = 32
    """Sequences of calibration text that every measurement runs over."""
    sequence: int = 256
    """Tokens of one sequence."""
    batch: int = 8
    trials: int = 6
    """Most mixes measured on the whole model under a budget of loss."""
    compute: ComputeType = "bfloat16"

    def __post_init__(self) -> None:
        unknown = [name for name in self._names if name not in FORMATS]
        if unknown or not self._names or len(set(self._names)) < len(self._names):
            raise InvalidInput(
                "recipe.formats",
                f"`{self.formats}` is not allowed",
                allowed=", ".join(FORMATS) + ", each once",
            )
        for name, low, high in (
            ("sequences", 2, 65_536),
            ("sequence", 2, 1_048_576),
            ("batch", 1, 65_536),
            ("trials", 1, 100),
        ):
            if not low <= getattr(self, name) <= high:
                raise InvalidInput(
                    f"recipe.{name}", f"{getattr(self, name)} is out of range", allowed=f"{low} to {high}"
                )
        least, most = {"loss": (0.0, 10.0), "bits": (1.0, 32.0), "bytes": (1.0, 1e15)}[self.limit]
        if not (math.isfinite(self.budget) and least < self.budget <= most):
            raise InvalidInput(
                "recipe.budget",
                f"{self.budget} is out of range for a limit of {self.limit}",
                allowed=f"above {least:g}, at most {most:g}",
            )
        _ = self._recipes  # their own checks of the group size

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.formats.split(",") if name.strip())

    @cached_property
    def _recipes(self) -> dict[str, Recipe]:
        """The uniform recipe of every format."""
        made: dict[str, Recipe] = {}
        for name in self._names:
            if name == "int8":
                made[name] = Int8WeightOnly(compute=self.compute)
            elif name == "int8_dynamic":
                made[name] = Int8Dynamic(compute=self.compute)
            elif name == "int4_tile_packed":
                made[name] = Int4TilePacked(group_size=self.group_size)
            else:
                made[name] = IntxWeightOnly(
                    bits=int(name.removeprefix("int")), group_size=self.group_size, compute=self.compute
                )
        return made

    @cached_property
    def _reasons(self) -> dict[str, str]:
        """Why layers were kept, filled by the build: the coverage asks for it by name."""
        return {}

    @property
    def needs(self) -> tuple[str, ...]:
        """A CUDA device where a format is packed for one."""
        return _CUDA if "int4_tile_packed" in self._names else ()

    @property
    def dtype(self) -> ComputeType:
        """As configured; that of the layers that are kept."""
        return self.compute

    @property
    def variant_name(self) -> str:
        """Name with the budget."""
        return f"mixed-{self.limit}-{self.budget:g}"

    @property
    def scheme(self) -> Scheme:
        """The widest of the formats offered, mixed; what came out is counted from the tensors."""
        schemes = [recipe.scheme for recipe in self._recipes.values()]
        weight = max((scheme.weight for scheme in schemes), key=lambda weight: weight.bits)
        return Scheme(weight=weight, method="rtn", mixed=True)

    def refusal(self, in_features: int, out_features: int) -> str | None:
        """Return the reason when the layer can take none of the formats."""
        reasons = [recipe.refusal(in_features, out_features) for recipe in self._recipes.values()]
        return None if None in reasons else "; ".join(dict.fromkeys(filter(None, reasons)))

    def left_alone_because(self, name: str) -> str:
        """Return why the search kept the layer."""
        return self._reasons.get(name, super().left_alone_because(name))

    def build(self, given: Ingredients) -> Any:
        """Measure, choose, verify, and build the chosen mix. Raises InvalidInput when no mix meets the budget."""
        from torchao.quantization import FqnToConfig

        from worker.engines.loading import load_model

        if self.needs and given.device.type != "cuda":
            raise InvalidInput(
                "device", f"`{given.device}` cannot pack int4_tile_packed", allowed="a CUDA device"
            )
        chosen, heads = self._choose(given)
        release_free_memory()
        given.report(0.95, "building the chosen mix")
        kept = tuple(name for name, form in chosen.items() if form == FULL)
        configs = OrderedDict(
            (name, self._recipes[form].torchao_config()) for name, form in chosen.items() if form != FULL
        )
        return load_model(
            given.base,
            device=given.device,
            dtype=self.dtype,
            torchao_config=FqnToConfig(configs),
            left_alone=tuple(dict.fromkeys((*given.left_alone, *kept, *heads))),
        )

    def _choose(self, given: Ingredients) -> tuple[dict[str, str], tuple[str, ...]]:
        """Return the format of every layer that could be quantized, and the names of the output head."""
        import torch

        from worker.engines.loading import load_model, load_tokenizer

        assert given.text is not None, "build.construct refuses a missing text"
        start = time.perf_counter()
        given.report(0.0, "reading the text")
        ids = pack(given.text, load_tokenizer(given.base), length=self.sequence, wanted=self.sequences)
        model = load_model(given.base, device=given.device, dtype=self.dtype)
        head = model.get_output_embeddings()
        heads = tuple(name for name, module in model.named_modules() if module is head)
        linear = [
            name
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and module is not head and name not in given.left_alone
        ]
        always = [name for name in linear if self._keeps(name)]
        groups = group_layers(model, [name for name in linear if name not in always], self.grouping)
        if not groups:
            raise InvalidInput("recipe.keep", f"`{self.keep}` keeps every layer", allowed="fewer layers")
        probe = Probe(model, ids, batch=self.batch)
        table = measure_sensitivity(model, probe, groups, self._recipes, report=part(given.report, 0.05, 0.7))
        choices = [(FULL, *table[group.name]) for group in groups]
        count = sum(model.get_submodule(name).weight.numel() for name in linear)
        fixed = self._fixed_size(model, groups, count)
        frontier = find_frontier(
            [
                [
                    Option(size=self._size(group, form, table), loss=self._kl(group, form, table))
                    for form in forms
                ]
                for group, forms in zip(groups, choices, strict=True)
            ]
        )

        def layer_formats(choice: tuple[int, ...]) -> dict[str, str]:
            return {
                layer: forms[option]
                for group, forms, option in zip(groups, choices, choice, strict=True)
                for layer in group.layers
            }

        def measure(choice: tuple[int, ...]) -> Any:
            given.report(0.7 + 0.04 * min(6, len(search.trials)), f"measuring mix {len(search.trials) + 1}")
            formats = layer_formats(choice)
            with quantized(
                model, {name: self._recipes[form] for name, form in formats.items() if form != FULL}
            ):
                return probe.measure()

        search = MixSearch(frontier, measure)
        if self.limit == "loss":
            best = search.within_loss(self.budget, trials=self.trials)
        else:
            per = 1 if self.limit == "bytes" else count
            smallest = (int(frontier.sizes[0]) + fixed) / per
            if self.budget < smallest:
                raise InvalidInput(
                    "recipe.budget",
                    f"no mix is as small as {self.budget:g} {self.limit}",
                    allowed=f"at least {smallest:.6g} {self.limit}",
                )
            best = search.within_size(math.floor(self.budget * per) - fixed)
        chosen = layer_formats(frontier.choice(best.point))
        if all(form == FULL for form in chosen.values()):
            raise InvalidInput(
                "recipe.budget",
                f"leaves every layer at {self._full_bits:g} bits",
                allowed="a larger loss, or a smaller size",
            )
        self._reasons.clear()
        self._reasons.update(
            dict.fromkeys(always, f"kept at {self._full_bits:g} bits: asked for by `{self.keep}`")
        )
        self._reasons.update(kept_reasons(groups, chosen, table, bits=self._full_bits))
        given.facts.update(mix_facts(groups, chosen, self._recipes, search.trials, best))
        given.facts.update(sensitivity_facts(groups, table))
        given.facts["mix.bits_per_linear_weight"] = (
            sum(self._bits(group, chosen[group.layers[0]]) for group in groups)
            + self._full_bits * sum(model.get_submodule(name).weight.numel() for name in always)
        ) / count
        given.facts["mix.frontier_points"] = len(frontier)
        given.facts["mix.search_seconds"] = time.perf_counter() - start
        return chosen, heads

    def _keeps(self, name: str) -> bool:
        patterns = [pattern.strip() for pattern in self.keep.split(",") if pattern.strip()]
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

    @property
    def _full_bits(self) -> float:
        return FORMAT_OF[self.compute].bits

    def _bits(self, group: Group, form: str) -> int:
        """Return the bits of the group's weights in a format, group scales included."""
        bits = self._full_bits if form == FULL else self._recipes[form].scheme.weight.bits
        return round(bits * group.parameters)

    def _size(self, group: Group, form: str, table: Table) -> int:
        if self.limit != "bytes":
            return self._bits(group, form)
        return self._bits(group, form) // 8 if form == FULL else table[group.name][form].stored_bytes

    def _kl(self, group: Group, form: str, table: Table) -> float:
        return 0.0 if form == FULL else table[group.name][form].kl

    def _fixed_size(self, model: Any, groups: tuple[Group, ...], count: int) -> int:
        """Return the size, in the unit of the limit, of what the search cannot change."""
        variable = sum(group.parameters for group in groups)
        if self.limit == "bytes":
            return count_weights(model).total_bytes - round(variable * self._full_bits / 8)
        return round(self._full_bits * (count - variable))
