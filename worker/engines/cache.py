"""The KV cache a model generates with: its own, or a quantized one where its inference settings ask for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.domain.inference import QuantizedCache
from planner.errors import InvalidInput
from worker.engines.formats.inference import settings_of

if TYPE_CHECKING:
    from transformers import Cache


def make_cache(model: Any, batch: int, length: int) -> Cache:
    """Return an empty KV cache for `batch` sequences of up to `length` tokens, quantized when the model's settings say so.

    A quantized cache takes the memory of `length` tokens at its first use, and more when they are passed. Raises
    InvalidInput for a model whose cache cannot be quantized.
    """
    from transformers import Cache, DynamicCache

    settings = settings_of(model).kv_cache
    if settings is None:
        return DynamicCache(config=model.config)
    from worker.engines.quantized_cache import QuantizedLayer

    check_quantizable(model, settings)
    layers = int(model.config.get_text_config().num_hidden_layers)
    return Cache(layers=[QuantizedLayer(settings, batch, length) for _ in range(layers)])


def quantizes_cache(model: Any) -> bool:
    """Return whether the model's settings ask for a quantized KV cache."""
    return settings_of(model).kv_cache is not None


def forward_options(model: Any, batch: int, length: int) -> dict[str, Any]:
    """Return the arguments with which one forward pass over whole sequences computes as generation would.

    A quantized cache is part of what a variant computes, so the pass goes through one; otherwise none is kept.
    """
    if not quantizes_cache(model):
        return {"use_cache": False}
    return {"use_cache": True, "past_key_values": make_cache(model, batch, length)}


def check_quantizable(model: Any, settings: QuantizedCache) -> None:
    """Raise InvalidInput when the model's keys and values do not divide into groups, or it has other kinds of layers."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    if kinds or getattr(config, "sliding_window", None):
        found = ", ".join(sorted(kinds)) or "sliding_attention"
        raise InvalidInput(
            "inference.kv_cache",
            f"cannot quantize layers of {found}",
            allowed="models whose every layer keeps all tokens",
        )
    width = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    if width % settings.group_size:
        raise InvalidInput(
            "inference.kv_cache.group_size",
            f"{settings.group_size} does not divide the head width {width}",
            allowed=f"a divisor of {width}",
        )
