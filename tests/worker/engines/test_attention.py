from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from planner.domain.inference import TopKAttention
from planner.errors import InvalidInput
from worker.engines import attention
from worker.engines.attention import topk_attention, use_topk_attention
from worker.engines.loading import load_model
from worker.recipes import parse_recipe
from worker.recipes.build import build_variant
from worker.reference import model_path

pytestmark = pytest.mark.worker
CPU = torch.device("cpu")


def module(members: int) -> Any:
    return SimpleNamespace(training=False, num_key_value_groups=members, is_causal=True)


def states(seed: int, batch: int, groups: int, members: int, queries: int, keys: int, width: int = 8):
    generator = torch.Generator().manual_seed(seed)

    def make(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return (
        make(batch, groups * members, queries, width),
        make(batch, groups, keys, width),
        make(batch, groups, keys, width),
    )


def by_definition(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, k: int) -> Tensor:
    """One query at a time: sort the visible scores, keep k, softmax, mix."""
    batch, heads, queries, width = query.shape
    members = heads // key.shape[1]
    out = torch.zeros(batch, queries, heads, value.shape[-1], dtype=torch.float64)
    for b in range(batch):
        for h in range(heads):
            for q in range(queries):
                visible = mask[b, 0, q].nonzero().flatten()
                scores = key[b, h // members, visible].double() @ query[b, h, q].double() / width**0.5
                order = scores.argsort(descending=True)[:k]
                weights = scores[order].softmax(0)
                out[b, q, h] = weights @ value[b, h // members, visible[order]].double()
    return out


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    batch=st.integers(1, 2),
    groups=st.integers(1, 2),
    members=st.integers(1, 3),
    queries=st.integers(1, 9),
    earlier=st.integers(0, 9),
    k=st.integers(1, 20),
    masked=st.booleans(),
)
def test_it_is_what_the_definition_says(seed, batch, groups, members, queries, earlier, k, masked):
    if not masked and queries > 1:
        earlier = 0
    keys = queries + earlier
    query, key, value = states(seed, batch, groups, members, queries, keys)
    positions = torch.arange(queries)[:, None] + earlier
    mask = (torch.arange(keys)[None, :] <= positions).expand(batch, 1, queries, keys)
    given_mask = mask.contiguous() if masked else None
    output, weights = topk_attention(module(members), query, key, value, given_mask, k=k)
    assert weights is None
    assert output.shape == (batch, queries, groups * members, 8)
    torch.testing.assert_close(
        output.double(), by_definition(query, key, value, mask, k), atol=1e-5, rtol=1e-4
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), queries=st.integers(1, 12), more=st.integers(0, 5))
def test_with_k_of_the_whole_length_it_is_full_attention_exactly(seed, queries, more):
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    query, key, value = states(seed, 1, 2, 2, queries, queries)
    sparse, _ = topk_attention(module(2), query, key, value, None, k=queries + more)
    full, _ = sdpa_attention_forward(module(2), query, key, value, None)
    assert torch.equal(sparse, full)


def test_blocks_of_queries_change_nothing(monkeypatch):
    query, key, value = states(0, 2, 2, 2, 33, 33)
    whole, _ = topk_attention(module(2), query, key, value, None, k=5)
    monkeypatch.setattr(attention, "_BLOCK_BYTES", 1)
    single, _ = topk_attention(module(2), query, key, value, None, k=5)
    torch.testing.assert_close(single, whole, atol=1e-6, rtol=1e-5)


def test_a_query_of_padding_that_sees_nothing_is_no_nan():
    query, key, value = states(0, 1, 1, 1, 4, 8)
    nothing = torch.zeros(1, 1, 4, 8, dtype=torch.bool)
    output, _ = topk_attention(module(1), query, key, value, nothing, k=2)
    assert bool(torch.isfinite(output).all())


def test_a_mask_of_numbers_is_added():
    query, key, value = states(3, 1, 1, 2, 4, 9)
    boolean = torch.rand(1, 1, 4, 9, generator=torch.Generator().manual_seed(1)) < 0.7
    numbers = torch.zeros(1, 1, 4, 9).masked_fill(~boolean, torch.finfo(torch.float32).min)
    expected, _ = topk_attention(module(2), query, key, value, boolean, k=3)
    output, _ = topk_attention(module(2), query, key, value, numbers, k=3)
    torch.testing.assert_close(output, expected)


def test_decoding_over_a_cache_gives_what_one_pass_gives(tmp_path):
    from transformers import DynamicCache

    build_variant(model_path(), tmp_path / "out", parse_recipe("topk_attention", {"k": 8}))
    model = load_model(tmp_path / "out", device=CPU, dtype="float32")
    assert model.config._attn_implementation == "topk-8"
    ids = torch.randint(0, 4096, (2, 40), generator=torch.Generator().manual_seed(0))
    cache = DynamicCache(config=model.config)
    with torch.inference_mode():
        whole = model(input_ids=ids, use_cache=False).logits
        parts = [
            model(input_ids=part, past_key_values=cache, use_cache=True).logits
            for part in (ids[:, :20], ids[:, 20:25], *ids[:, 25:].split(1, dim=1))
        ]
        full = load_model(model_path(), device=CPU, dtype="float32")(input_ids=ids, use_cache=False).logits
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(whole[:, :8], full[:, :8], atol=2e-4, rtol=1e-3)
    assert not torch.allclose(whole[:, 20:], full[:, 20:], atol=1e-2)


def test_a_model_whose_attention_is_built_in_is_refused():
    with pytest.raises(InvalidInput, match="whose attention cannot be replaced"):
        use_topk_attention(torch.nn.Linear(1, 1), TopKAttention())
