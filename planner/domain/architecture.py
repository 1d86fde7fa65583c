"""Architecture of a decoder-only transformer, with exact parameter and KV-cache arithmetic.

All sizes are in elements, never in bytes: what an element costs is the scheme's business. Parameter formulae are sums
over the modules of the public reference implementations (Llama, Qwen, Mistral/Mixtral, Gemma, Phi, DeepSeek in the
transformers library); MLA follows the DeepSeek-V2 paper, arXiv:2405.04434, section 2.1.
"""

from __future__ import annotations

import msgspec

from planner.errors import InvalidInput


class Experts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A mixture of experts: every sparse layer holds `count` experts and uses `active` of them per token."""

    count: int
    active: int
    intermediate_size: int
    shared_intermediate_size: int = 0
    """Width of the always-on shared expert (all shared experts together); 0 is none."""
    shared_gate: bool = False
    dense_layers: int = 0
    """Layers that keep an ordinary dense MLP."""
    correction_bias: bool = False
    """A stored per-expert routing bias (DeepSeek-V3)."""
    bias: bool = False
    """Biases on router and expert projections (gpt-oss)."""


class LatentAttention(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Multi-head latent attention (MLA): keys and values are cached as one compressed vector per token."""

    kv_lora_rank: int
    rope_head_dim: int
    nope_head_dim: int
    value_head_dim: int
    query_lora_rank: int | None = None


class CacheGroup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Layers that keep the same for a sequence, in elements per layer."""

    layers: int
    per_token: int = 0
    """Cached for every token, in the KV cache's type."""
    window: int | None = None
    """Tokens at most that are cached; None is all."""
    fixed: int = 0
    """Kept whatever the length, in the compute type: windows of convolutions, keys and values of an image."""
    fixed_wide: int = 0
    """The same in FP32: states of state spaces and linear attention."""

    def __post_init__(self) -> None:
        for field in ("per_token", "fixed", "fixed_wide"):
            if not 0 <= getattr(self, field) <= 1_000_000_000_000:
                raise InvalidInput(f"architecture.caches.{field}", "is out of range", allowed="0 to 1e12")
        if not 1 <= self.layers <= 200_000 or (self.window is not None and self.window < 1):
            raise InvalidInput(
                "architecture.caches", "layers and window are out of range", allowed="1 or more"
            )


class Architecture(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The shape of a model. MHA, GQA and MQA differ only in `kv_heads`."""

    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    tied_embeddings: bool = False
    max_context: int | None = None
    sliding_window: int | None = None
    sliding_layers: int = 0
    """How many layers attend only to the last `sliding_window` tokens."""
    gated_mlp: bool = True
    qkv_bias: bool = False
    output_bias: bool = False
    """Bias on the attention output projection."""
    mlp_bias: bool = False
    head_bias: bool = False
    """Bias on the language-model head."""
    qk_norm: bool = False
    qk_norm_spans_heads: bool = False
    """The norms of queries and keys have a weight per element of all heads (OLMo 2), not one shared by the heads."""
    norms_per_layer: int = 2
    norm_bias: bool = False
    attention_sinks: bool = False
    position_embeddings: int = 0
    """Rows of a learned position table (OPT keeps 2 more than its context); 0 with rotary positions."""
    experts: Experts | None = None
    mla: LatentAttention | None = None
    caches: tuple[CacheGroup, ...] = ()
    """What layers keep where they differ in more than a window (hybrids, shared caches); empty where `kv_heads`,
    `head_dim`, `mla` and the sliding layers say it all."""
    model_type: str | None = None

    def __post_init__(self) -> None:
        for field in ("hidden_size", "layers", "heads", "kv_heads", "head_dim", "vocab_size"):
            value = getattr(self, field)
            if not 1 <= value <= 100_000_000:
                raise InvalidInput(f"architecture.{field}", f"{value} is out of range", allowed="1 to 1e8")
        if self.mla is None and self.heads % self.kv_heads:
            raise InvalidInput(
                "architecture.kv_heads",
                f"{self.kv_heads} does not divide {self.heads} heads",
                allowed="a divisor of heads",
            )
        if not 0 <= self.sliding_layers <= self.layers or (self.sliding_layers and not self.sliding_window):
            raise InvalidInput(
                "architecture.sliding_layers",
                f"{self.sliding_layers} of {self.layers}",
                allowed="0 to layers, with a sliding_window",
            )

    # -- parameters -----------------------------------------------------------------------------------------------

    @property
    def embedding_parameters(self) -> int:
        """Elements of the input embedding, plus learned positions and the language-model head where it is not tied."""
        table = self.vocab_size * self.hidden_size
        extra = self.position_embeddings * self.hidden_size + (self.vocab_size if self.head_bias else 0)
        return (table if self.tied_embeddings else 2 * table) + extra

    @property
    def attention_parameters(self) -> int:
        """Elements of one layer's attention."""
        h = self.hidden_size
        if self.mla is not None:
            m = self.mla
            query_dim = self.heads * (m.nope_head_dim + m.rope_head_dim)
            query = h * query_dim if m.query_lora_rank is None else (h + 1 + query_dim) * m.query_lora_rank
            latent = h * (m.kv_lora_rank + m.rope_head_dim) + m.kv_lora_rank
            expand = m.kv_lora_rank * self.heads * (m.nope_head_dim + m.value_head_dim)
            return query + latent + expand + self.heads * m.value_head_dim * h
        query, key_value = self.heads * self.head_dim, 2 * self.kv_heads * self.head_dim
        count = h * (query + key_value) + query * h
        count += (query + key_value) if self.qkv_bias else 0
        count += h if self.output_bias else 0
        if self.qk_norm:
            count += query + key_value // 2 if self.qk_norm_spans_heads else 2 * self.head_dim
        return count + (self.heads if self.attention_sinks else 0)

    def _mlp(self, width: int, *, bias: bool) -> int:
        projections = 3 if self.gated_mlp else 2
        return projections * self.hidden_size * width + (
            ((projections - 1) * width + self.hidden_size) if bias else 0
        )

    @property
    def sparse_layers(self) -> int:
        """Layers whose MLP is a mixture of experts."""
        return self.layers - self.experts.dense_layers if self.experts else 0

    def _mlp_parameters(self, *, experts_used: int | None) -> int:
        dense = (self.layers - self.sparse_layers) * self._mlp(self.intermediate_size, bias=self.mlp_bias)
        if self.experts is None:
            return dense
        e = self.experts
        sparse = self.hidden_size * e.count + (e.count if e.correction_bias or e.bias else 0)
        sparse += (e.count if experts_used is None else experts_used) * self._mlp(
            e.intermediate_size, bias=e.bias
        )
        if e.shared_intermediate_size:
            sparse += self._mlp(e.shared_intermediate_size, bias=False) + (
                self.hidden_size if e.shared_gate else 0
            )
        return dense + self.sparse_layers * sparse

    @property
    def norm_parameters(self) -> int:
        """Elements of all normalizations outside attention, the final one included."""
        return (self.norms_per_layer * self.layers + 1) * self.hidden_size * (2 if self.norm_bias else 1)

    @property
    def parameters(self) -> int:
        """Elements of the whole model."""
        return (
            self.embedding_parameters
            + self.layers * self.attention_parameters
            + self._mlp_parameters(experts_used=None)
            + self.norm_parameters
        )

    @property
    def linear_parameters(self) -> int:
        """Elements that weight quantization applies to: the layers' projections, not embeddings, head or norms."""
        return self.parameters - self.embedding_parameters - self.norm_parameters

    @property
    def active_parameters(self) -> int:
        """Elements used for one token: all of them, less the experts not chosen."""
        if self.experts is None:
            return self.parameters
        return (
            self.embedding_parameters
            + self.layers * self.attention_parameters
            + self._mlp_parameters(experts_used=self.experts.active)
            + self.norm_parameters
        )

    # -- KV cache -------------------------------------------------------------------------------------------------

    @property
    def kv_elements_per_token(self) -> int:
        """Cached elements per token and layer: 2 x kv_heads x head_dim, or kv_lora_rank + rope_head_dim for MLA."""
        if self.mla is not None:
            return self.mla.kv_lora_rank + self.mla.rope_head_dim
        return 2 * self.kv_heads * self.head_dim

    @property
    def cache_groups(self) -> tuple[CacheGroup, ...]:
        """What the layers keep for a sequence, alike ones together."""
        if self.caches:
            return self.caches
        each = self.kv_elements_per_token
        groups = (
            CacheGroup(layers=max(self.layers - self.sliding_layers, 1), per_token=each)
            if self.layers > self.sliding_layers
            else None,
            CacheGroup(layers=self.sliding_layers, per_token=each, window=self.sliding_window)
            if self.sliding_layers
            else None,
        )
        return tuple(group for group in groups if group is not None)

    def kv_elements(self, tokens: int) -> int:
        """Return the cached elements of one sequence of `tokens`: sliding layers hold at most their window."""
        return sum(
            group.layers * group.per_token * (min(tokens, group.window) if group.window else tokens)
            for group in self.cache_groups
        )

    @property
    def state_elements(self) -> tuple[int, int]:
        """Elements that one sequence keeps whatever its length: in the compute type, and in FP32."""
        return (
            sum(group.layers * group.fixed for group in self.caches),
            sum(group.layers * group.fixed_wide for group in self.caches),
        )

    @property
    def kv_width(self) -> int:
        """Elements of one row of the KV cache that share scales when it is quantized."""
        return self.mla.kv_lora_rank if self.mla else self.head_dim
