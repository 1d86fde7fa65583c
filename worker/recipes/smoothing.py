"""SmoothQuant: activations with a few large channels are evened out, at the cost of weights that are less even.

Xiao et al., SmoothQuant (ICML 2023, arXiv 2211.10438), equation 4: an input channel j of a linear layer is divided by
s_j = max|X_j|^a / max|W_j|^(1-a) and the weight's column multiplied by it, so the product stays what it was. The division
costs nothing where it can be folded into what makes the input: the weight of a norm, the rows of a `v_proj` before its
`o_proj`, those of an `up_proj` before its `down_proj`. Layers that share an input share s, with the largest of their W_j.

Two things are our own. s is rounded to powers of two, so that folding changes exponents only: the smoothed model gives
the very logits of the base, whatever number format it is held in. And a place is only folded if that is proven: each is
tried with channels scaled at random, and left alone when any logit changes. A norm that a router or a residual reads as well,
one that adds 1 to its weight, an `up_proj` with an activation behind it: none needs a list of architectures.
torchao's own (`torchao.prototype.smoothquant`) divides in every layer while the model runs and saves that as a tensor type
that stock loaders of compressed-tensors do not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from planner.errors import InvalidFile, InvalidInput
from worker.progress import Report
from worker.recipes.recipe import Ingredients

_LEAST: Final = 1e-5
"""Magnitude below which a channel counts as this, so that one that is never used gets a finite scale."""
_FARTHEST: Final = 12
"""Largest power of two by which a channel may differ from its place's middle; FP16 keeps its normal numbers so."""
_PROBE_TOKENS: Final = 16
_PAIRS: Final = (("v_proj", "o_proj"), ("up_proj", "down_proj"))


@dataclass(frozen=True)
class Place:
    """Something that makes an input, and the linear layers that read it."""

    name: str
    maker: nn.Module
    """A norm, whose weight has one number a channel, or a linear layer, which has a row a channel."""
    readers: tuple[tuple[str, nn.Linear], ...]
    repeats: int = 1
    """How many query heads read each head of the maker: grouped-query attention repeats its values."""
    head: int = 1
    """Channels that are repeated together."""

    @property
    def channels(self) -> int:
        """Channels of the maker's output."""
        return self.readers[0][1].in_features // self.repeats

    def spread(self, scale: torch.Tensor) -> torch.Tensor:
        """Return the maker's scales, one for each channel, as the readers see them."""
        return scale.reshape(-1, 1, self.head).expand(-1, self.repeats, self.head).reshape(-1)

    def gather(self, largest: torch.Tensor) -> torch.Tensor:
        """Return the largest value over the readers' channels that come from one of the maker's."""
        return largest.reshape(-1, self.repeats, self.head).amax(dim=1).reshape(-1)

    @torch.no_grad()
    def fold(self, exponents: torch.Tensor) -> None:
        """Divide what the maker gives by 2^exponents and multiply what the readers do with it; exact both ways."""
        for tensor in (self.maker.weight, getattr(self.maker, "bias", None)):
            if isinstance(tensor, torch.Tensor):
                small = exponents.to(tensor.device).neg()
                tensor.copy_(torch.ldexp(tensor, small.reshape(-1, *[1] * (tensor.dim() - 1))))
        for _, layer in self.readers:
            layer.weight.copy_(torch.ldexp(layer.weight, self.spread(exponents).to(layer.weight.device)))


def smooth(model: Any, windows: Sequence[npt.NDArray[np.int64]], alpha: float, given: Ingredients) -> None:
    """Smooth every place of `model` that allows it, in place; its logits stay bit for bit what they were.

    Notes in `given.facts` how many layers have smoothed inputs, and which places were left alone. Raises InvalidFile when
    the model's answers are not finite, InvalidInput when the scales found would change them all the same, which only
    numbers near the end of FP16 do.
    """
    ids = torch.from_numpy(windows[0][:_PROBE_TOKENS])[None].to(model.device)
    before = _logits(model, ids)
    if not bool(torch.isfinite(before).all()):
        raise InvalidFile("*.safetensors", "", "give answers that are not finite")
    found = find_places(model, ids)
    places = _exact_places(model, found, ids, before)
    largest = _largest_inputs(model, [place.readers[0] for place in places], windows, given.report)
    for place in places:
        place.fold(_exponents(place, largest[place.readers[0][0]], alpha))
    if not torch.equal(_logits(model, ids), before):
        raise InvalidInput(
            "recipe.smoothing",
            f"{alpha:g} changes this model's answers before anything is quantized",
            allowed="another share, a wider `compute`, or null",
        )
    given.facts["smoothed_layers"] = sum(len(place.readers) for place in places)
    left = [place.name for place in found if place not in places]
    if left:
        given.facts["not_smoothed"] = f"scaling changes the answers: {', '.join(left)}"[:2000]


def find_places(model: Any, ids: torch.Tensor) -> list[Place]:
    """Return where scales could be folded, as far as structure tells: norms by what reads their output, pairs by name."""
    head = model.get_output_embeddings()
    layers = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and layer is not head
    }
    places: list[Place] = []
    for name, norm, readers in _norms(model, layers, ids):
        places.append(Place(name, norm, tuple((reader, layers[reader]) for reader in readers)))
    for name, layer in layers.items():
        parent, _, leaf = name.rpartition(".")
        for first, second in _PAIRS:
            reader = f"{parent}.{second}" if parent else second
            if leaf == first and reader in layers:
                place = _pair(name, layer, reader, layers[reader], model.get_submodule(parent))
                places += [place] if place else []
    return places


def _norms(
    model: Any, layers: Mapping[str, nn.Linear], ids: torch.Tensor
) -> Iterable[tuple[str, nn.Module, list[str]]]:
    """Run the model once, and return each norm with the linear layers that get its very output."""
    outputs: dict[str, torch.Tensor] = {}  # held, so that no other tensor gets the identity of one of them
    makers: dict[str, nn.Module] = {}
    readers: dict[str, list[str]] = {}

    def made(name: str) -> Any:
        def hook(module: nn.Module, _: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                outputs[name], makers[name] = output, module

        return hook

    def read(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            for maker, output in outputs.items():
                if inputs and inputs[0] is output and name not in readers.setdefault(maker, []):
                    readers[maker].append(name)

        return hook

    hooks = [layer.register_forward_pre_hook(read(name)) for name, layer in layers.items()]
    hooks += [
        module.register_forward_hook(made(name))
        for name, module in model.named_modules()
        if name not in layers and _is_norm(module)
    ]
    try:
        _logits(model, ids)
    finally:
        for hook in hooks:
            hook.remove()
    return [
        (name, makers[name], found)
        for name, found in readers.items()
        if all(layers[reader].in_features == _width(makers[name]) for reader in found)
    ]


def _width(norm: nn.Module) -> int:
    weight = norm.weight
    return weight.numel() if isinstance(weight, torch.Tensor) else 0


def _is_norm(module: nn.Module) -> bool:
    """Return whether this is a module of its own with one number a channel."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.dim() == 1 and not any(True for _ in module.children())


def _pair(name: str, first: nn.Linear, reader: str, second: nn.Linear, parent: nn.Module) -> Place | None:
    """Return the place of two layers in a row, None when their widths do not divide."""
    repeats, rest = divmod(second.in_features, first.out_features)
    if rest or not repeats:
        return None
    head = getattr(parent, "head_dim", None) if repeats > 1 else first.out_features
    if not isinstance(head, int) or first.out_features % head:
        return None
    return Place(name, first, ((reader, second),), repeats, head)


def _exact_places(model: Any, places: list[Place], ids: torch.Tensor, before: torch.Tensor) -> list[Place]:
    """Return the places where scaling channels leaves every logit as it is: tried all at once, then one by one."""
    if places and not _stays(model, places, ids, before):
        return [place for place in places if _stays(model, [place], ids, before)]
    return places


def _stays(model: Any, places: list[Place], ids: torch.Tensor, before: torch.Tensor) -> bool:
    generator = torch.Generator().manual_seed(0)
    tried = [
        (place, torch.randint(-2, 3, (place.channels,), generator=generator, dtype=torch.int32))
        for place in places
    ]
    for place, exponents in tried:
        place.fold(exponents)
    same = torch.equal(_logits(model, ids), before)
    for place, exponents in reversed(tried):
        place.fold(-exponents)
    return same


@torch.inference_mode()
def _logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    return logits


def _largest_inputs(
    model: Any,
    readers: Iterable[tuple[str, nn.Linear]],
    windows: Sequence[npt.NDArray[np.int64]],
    report: Report,
) -> dict[str, torch.Tensor]:
    """Return the largest magnitude of each input channel of these layers over the windows."""
    largest: dict[str, torch.Tensor] = {}

    def watch(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            most = inputs[0].detach().abs().float().flatten(0, -2).amax(dim=0)
            largest[name] = torch.maximum(largest[name], most) if name in largest else most

        return hook

    hooks = [layer.register_forward_pre_hook(watch(name)) for name, layer in readers]
    try:
        for number, ids in enumerate(windows):
            report(
                number / len(windows), f"looking for large channels in window {number + 1} of {len(windows)}"
            )
            _logits(model, torch.from_numpy(ids)[None].to(model.device))
    finally:
        for hook in hooks:
            hook.remove()
    return largest


def _exponents(place: Place, inputs: torch.Tensor, alpha: float) -> torch.Tensor:
    """Return the powers of two nearest to the paper's scales, about a middle of zero: a common factor changes nothing."""
    columns = torch.stack([layer.weight.detach().float().abs().amax(dim=0) for _, layer in place.readers])
    most, weights = (
        place.gather(inputs).clamp(min=_LEAST),
        place.gather(columns.amax(dim=0)).clamp(min=_LEAST),
    )
    wanted = alpha * most.log2() - (1 - alpha) * weights.log2()
    return (wanted - wanted.mean()).round().clamp(-_FARTHEST, _FARTHEST).to(torch.int32).cpu()
