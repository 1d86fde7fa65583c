"""Attention over a KV cache of fixed size: prefill over the prompt, decode over the filled part of the cache.

Registered with transformers, which then builds no mask of its own. Decoding on CUDA uses flex attention, whose decode
kernel splits long caches over the whole device and skips what is not filled yet; the queries that share a key head are
treated as rows of one block, so grouped heads cost no copies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from planner.errors import InvalidInput

if TYPE_CHECKING:
    import torch

NAME: Final = "planner_static"
BLOCK: Final = 128
"""Keys of one block of the mask: flex attention's smallest."""
_DECODE_OPTIONS: Final[Any] = {"BLOCK_N": 64, "num_stages": 4}
"""The best of the settings that `tests/bench/bench_kernels.py` tries, on an H200; 10 % faster than as it comes."""
_REFUSED: Final = ("softcap", "s_aux", "head_mask")
"""What some models add to attention and this function does not compute."""


class FilledPart:
    """How much of the cache is filled: a position that moves on the device, so that a captured step can be replayed."""

    def __init__(self, length: int, queries: int, device: torch.device) -> None:
        """Make it for caches of `length` tokens and `queries` rows that share a key head in a step."""
        import torch

        self.length = length
        self.queries = queries
        self.position = torch.zeros(1, dtype=torch.int64, device=device)
        """Index of the token that is being computed."""
        self.mask: Any = None
        if device.type == "cuda":
            self._blocks = torch.ones((1, 1, 1), dtype=torch.int32, device=device)
            self.mask = self._block_mask()
        else:
            self._indices = torch.arange(length, device=device)

    def _block_mask(self) -> Any:
        import torch
        from torch.nn.attention.flex_attention import BlockMask

        position = self.position

        def filled(batch: Any, head: Any, query: Any, key: Any) -> Any:
            del batch, head, query
            return key <= position[0]

        count = -(-self.length // BLOCK)
        indices = torch.arange(count, dtype=torch.int32, device=position.device).reshape(1, 1, 1, count)
        return BlockMask.from_kv_blocks(
            self._blocks,
            indices,
            BLOCK_SIZE=(BLOCK, BLOCK),
            mask_mod=filled,
            seq_lengths=(self.queries, self.length),
        )

    def start(self, position: int) -> None:
        """Set the position."""
        self.position.fill_(position)

    def refresh(self) -> None:
        """Make the mask follow the position, on the device."""
        if self.mask is None:
            return
        self._blocks.copy_((self.position // BLOCK + 1).to(self._blocks.dtype).reshape(1, 1, 1))

    def advance(self) -> None:
        """Move on by a token, on the device."""
        self.position.add_(1)

    def boolean_mask(self) -> torch.Tensor | None:
        """Return 1 x 1 x 1 x length, True where a key may be seen; None where the block mask says it."""
        if self.mask is not None:
            return None
        mask: torch.Tensor = (self._indices <= self.position).reshape(1, 1, 1, -1)
        return mask


class StaticKeyValues:
    """One layer's keys and values, requests x heads x length x width, written at the filled part's position."""

    def __init__(self, shape: tuple[int, int, int, int], filled: FilledPart, dtype: torch.dtype) -> None:
        import torch

        self.filled = filled
        self.keys = torch.zeros(shape, dtype=dtype, device=filled.position.device)
        self.values = torch.zeros_like(self.keys)

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store what the layer computed; return what it shall attend to: the prompt itself, or the whole cache."""
        tokens = keys.shape[2]
        if tokens > 1:
            self.keys[:, :, :tokens].copy_(keys)
            self.values[:, :, :tokens].copy_(values)
            return keys, values
        self.keys.index_copy_(2, self.filled.position, keys)
        self.values.index_copy_(2, self.filled.position, values)
        return self.keys, self.values


class StaticKeyValueCache:
    """All layers' caches. The model passes it through; each compiled layer is given its own."""

    def __init__(self, layers: list[StaticKeyValues], filled: FilledPart) -> None:
        self.layers = layers
        self.filled = filled
        self.is_compileable = False

    @property
    def bytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(2 * layer.keys.numel() * layer.keys.element_size() for layer in self.layers)

    def get_seq_length(self, *_: Any) -> int:
        """Return 0: positions are given to the model, which then does not ask."""
        return 0


def static_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any = None,
    *,
    scaling: float | None = None,
    block_mask: Any = None,
    boolean_mask: torch.Tensor | None = None,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Return requests x tokens x heads x width, as transformers' attention functions do."""
    import torch

    del module, attention_mask
    for name in _REFUSED:
        if more.get(name) is not None:
            raise InvalidInput("mode", f"the model's attention uses `{name}`", allowed="eager")
    if sliding_window is not None and key.shape[2] > sliding_window:
        raise InvalidInput("mode", "the context is longer than the model's sliding window", allowed="eager")
    attend: Any = torch.nn.functional.scaled_dot_product_attention
    if query.shape[2] > 1:
        grouped = query.shape[1] != key.shape[1]
        output = attend(query, key, value, is_causal=True, scale=scaling, enable_gqa=grouped)
        return output.transpose(1, 2), None
    requests, heads, _, width = query.shape
    grouped_query = query.view(requests, key.shape[1], heads // key.shape[1], width)
    if block_mask is not None:
        from torch.nn.attention.flex_attention import flex_attention

        output = flex_attention(
            grouped_query, key, value, block_mask=block_mask, scale=scaling, kernel_options=_DECODE_OPTIONS
        )
    else:
        output = attend(grouped_query, key, value, attn_mask=boolean_mask, scale=scaling)
    return output.reshape(requests, 1, heads, width), None


def register() -> None:
    """Make the function known to transformers."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, static_attention)
