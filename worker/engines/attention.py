"""Top-K sparse attention as a registered attention function of transformers: torch operations only, on any device.

Every query scores all keys it may see, keeps the `k` best exactly, and mixes only their values; with grouped-query
attention every query head chooses for itself. All keys are still read, so what is saved is the reading of values and the
softmax. Prefill runs over blocks of queries, so that memory grows with the context and not with its square.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from planner.errors import InvalidInput

if TYPE_CHECKING:
    import torch

    from planner.domain.inference import TopKAttention

_BLOCK_BYTES: Final = 64 * 1024 * 1024
"""Most bytes that the scores, or the gathered values, of one block of queries may take."""


def use_topk_attention(model: Any, settings: TopKAttention) -> None:
    """Make the model attend to the top `settings.k` keys. Raises InvalidInput for one whose attention is built in."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if not getattr(model, "_supports_attention_backend", False):
        raise InvalidInput(
            "inference.attention",
            f"cannot be used with {type(model).__name__}, whose attention cannot be replaced",
            allowed="a model whose attention is exchangeable in transformers, such as Llama or Qwen2",
        )
    AttentionInterface.register(settings.label, partial(topk_attention, k=settings.k))
    AttentionMaskInterface.register(settings.label, sdpa_mask)
    model.set_attn_implementation(settings.label)


def topk_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    k: int,
    scaling: float | None = None,
    dropout: float = 0.0,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Attend to the `k` highest-scored keys; where no query can see more than `k`, this is the full attention.

    Shapes: query is batch x heads x queries x width, key and value are batch x KV heads x keys x width, a mask is
    batch x 1 x queries x keys (True, or 0, where a query may look). Without one, query i sees keys 0 to i; a single query
    sees all. Returns batch x queries x heads x value width.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    keys = key.shape[2]
    if k >= keys:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
        return output, None
    batch, heads, queries, width = query.shape
    groups = key.shape[1]
    grouped = query.reshape(batch, groups, heads // groups, queries, width)
    scale = width**-0.5 if scaling is None else scaling
    per_query = batch * heads * 4 * max(keys, k * value.shape[-1])
    step = max(1, _BLOCK_BYTES // per_query)
    rate = dropout if module.training else 0.0
    blocks = [
        _attend(
            grouped[:, :, :, start : start + step],
            key,
            value,
            attention_mask,
            start=start,
            causal=attention_mask is None and queries > 1,
            k=k,
            scale=scale,
            dropout=rate,
        )
        for start in range(0, queries, step)
    ]
    mixed = torch.cat(blocks, dim=3) if len(blocks) > 1 else blocks[0]
    return mixed.reshape(batch, heads, queries, -1).transpose(1, 2).contiguous(), None


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    *,
    start: int,
    causal: bool,
    k: int,
    scale: float,
    dropout: float,
) -> torch.Tensor:
    """Return the mix for one block of queries, batch x KV heads x heads per KV head x queries x width."""
    import torch

    batch, groups, members, queries, width = query.shape
    # Causal queries see no key beyond their own position, so those after the block are not even scored.
    keys = min(key.shape[2], start + queries) if causal else key.shape[2]
    rows = query.reshape(batch, groups, members * queries, width)
    scores = (rows @ key[:, :, :keys].transpose(2, 3)).float().mul_(scale)
    scores = scores.view(batch, groups, members, queries, keys)
    # The least finite number, not minus infinity: a query of padding that may see nothing must not become NaN.
    lowest = torch.finfo(torch.float32).min
    if mask is not None:
        window = mask[:, :, None, start : start + queries, :keys]
        scores = scores.masked_fill(~window, lowest) if window.dtype == torch.bool else scores + window
    elif causal:
        positions = torch.arange(start, start + queries, device=scores.device)
        seen = torch.arange(keys, device=scores.device)[None, :] <= positions[:, None]
        scores = scores.masked_fill(~seen, lowest)
    best, chosen = scores.topk(min(k, keys), dim=-1, sorted=False)
    weights = torch.nn.functional.dropout(best.softmax(dim=-1), dropout).to(value.dtype)
    # batch x groups x (members · queries · k) rows of values, read once each
    flat = chosen.reshape(batch, groups, -1, 1).expand(-1, -1, -1, value.shape[-1])
    picked = value.gather(2, flat).view(*chosen.shape, value.shape[-1])
    return (weights.unsqueeze(-2) @ picked).squeeze(-2)
