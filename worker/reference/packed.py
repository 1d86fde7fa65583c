"""Attention of packed training sequences: causal, without a mask, so that the fused kernel without one can run.

While it is being compiled, transformers gives the attention a mask tensor that says what "causal" already says, and a
mask excludes the flash kernel. Sequences here are full and start at position 0, so no mask is ever needed.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch

NAME: Final = "packed_causal"


@contextmanager
def packed_attention(model: Any) -> Generator[None]:
    """Use the attention while the block runs."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, _no_mask)
    before = model.config._attn_implementation  # noqa: SLF001  transformers has no public way to ask
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Return the mixed values as (batch, tokens, heads, width); queries come as (batch, heads, tokens, width)."""
    from torch.nn.functional import scaled_dot_product_attention

    del attention_mask, more
    groups = module.num_key_value_groups
    mixed = scaled_dot_product_attention(
        query, _repeated(key, groups), _repeated(value, groups), is_causal=True, scale=scaling
    )
    return mixed.transpose(1, 2).contiguous(), None


def _repeated(heads: torch.Tensor, groups: int) -> torch.Tensor:
    """Give every query head a key-value head of its own."""
    return heads if groups == 1 else heads.repeat_interleave(groups, dim=1)


def _no_mask(*arguments: Any, **more: Any) -> None:
    del arguments, more
