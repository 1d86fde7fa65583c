from __future__ import annotations

import json
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.domain.inference import InferenceSettings, QuantizedCache
from planner.errors import InvalidInput
from worker.engines.cache import forward_options, make_cache, quantizes_cache
from worker.engines.formats.inference import declare_settings
from worker.engines.loading import load_model
from worker.engines.quantized_cache import LARGEST, Quantized, dequantize, quantize
from worker.measure.memory_terms import cache_bytes
from worker.recipes import parse_recipe
from worker.recipes.build import build_variant
from worker.reference import model_path

pytestmark = pytest.mark.worker
CPU = torch.device("cpu")
FORMATS = ("int8", "int4", "fp8")


def reference(settings_: QuantizedCache | None = None, dtype=None):
    model = load_model(model_path(), device=CPU, dtype=dtype)
    if settings_ is not None:
        declare_settings(model, InferenceSettings(kv_cache=settings_))
    return model


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    form=st.sampled_from(["int8", "int4"]),
    group=st.sampled_from([16, 32]),
    exponent=st.integers(-30, 30),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_no_element_is_off_by_more_than_half_its_scale(seed, form, group, exponent, dtype):
    generator = torch.Generator().manual_seed(seed)
    states = (torch.randn(2, 2, 3, 64, generator=generator) * 2.0**exponent).to(dtype)
    states[0, 0, 0, :group] = 0
    cache = QuantizedCache(format=form, group_size=group)
    held = quantize(states, cache)
    back = dequantize(held, cache, torch.float32)
    scales = held.scales.float().repeat_interleave(group, dim=-1)
    # The bfloat16 scale may be 2^-9 too small, which moves the largest code by as much of its size.
    assert bool(((back - states.float()).abs() <= scales * (0.5 + LARGEST[form] * 2**-9)).all())
    typical = (back - states.float()).abs() <= scales * 0.5 * (1 + 1e-5)
    assert typical.float().mean() >= 1 - 1 / group
    assert not back[0, 0, 0, :group].any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), exponent=st.integers(-20, 20))
def test_fp8_is_off_by_a_sixteenth_of_the_value_at_most(seed, exponent):
    # e4m3 has 3 bits after the point: half a step is 2^-4 of the value, and 2^-10 of the scale below the normal numbers.
    states = torch.randn(1, 2, 3, 64, generator=torch.Generator().manual_seed(seed)) * 2.0**exponent
    cache = QuantizedCache(format="fp8", group_size=32)
    held = quantize(states, cache)
    back = dequantize(held, cache, torch.float32)
    scales = held.scales.float().repeat_interleave(32, dim=-1)
    assert bool(((back - states).abs() <= states.abs() * 2**-4 * 1.01 + scales * 2**-10).all())


@pytest.mark.parametrize("form", FORMATS)
def test_codes_that_come_back_are_the_codes_that_went_in(form):
    cache = QuantizedCache(format=form, group_size=16)
    states = torch.randn(1, 2, 5, 32, generator=torch.Generator().manual_seed(0))
    held = quantize(states, cache)
    again = quantize(dequantize(held, cache, torch.float32), cache)
    values = dequantize(Quantized(held.codes, torch.ones_like(held.scales)), cache, torch.float32)
    assert values.abs().max() == LARGEST[form]
    assert torch.equal(again.codes.view(torch.uint8), held.codes.view(torch.uint8))


@pytest.mark.parametrize("form", FORMATS)
def test_tokens_in_steps_are_the_tokens_in_one_pass(form):
    model = reference(QuantizedCache(format=form), "float32")
    ids = torch.randint(0, 4096, (2, 24), generator=torch.Generator().manual_seed(0))
    cache = make_cache(model, 2, 8)  # too small on purpose: it grows
    with torch.inference_mode():
        steps = [
            model(input_ids=part, past_key_values=cache, use_cache=True).logits
            for part in (ids[:, :5], *ids[:, 5:].split(1, dim=1))
        ]
        whole = model(input_ids=ids, **forward_options(model, 2, 24)).logits
        plain = reference(dtype="float32")(input_ids=ids, use_cache=False).logits
    assert cache.get_seq_length() == 24
    stepped = torch.cat(steps, dim=1)
    # Sums in another order may, rarely, move a state over the edge between two codes.
    assert torch.nn.functional.cosine_similarity(stepped, whole, dim=-1).min() > 0.999
    assert not torch.equal(whole, plain)
    near = torch.nn.functional.cosine_similarity(whole.float(), plain.float(), dim=-1).mean()
    assert near > (0.97 if form == "int4" else 0.999)


@pytest.mark.parametrize(("form", "group", "bits"), [("int8", 32, 8.5), ("int4", 32, 4.5), ("fp8", 64, 8.25)])
def test_its_bytes_are_those_of_the_scheme(form, group, bits):
    cache = QuantizedCache(format=form, group_size=group)
    assert cache.precision.bits == bits
    model = reference(cache)
    kept, plain = make_cache(model, 1, 64), make_cache(reference(), 1, 64)
    ids = torch.arange(64)[None]
    with torch.inference_mode():
        model(input_ids=ids, past_key_values=kept, use_cache=True)
        reference()(input_ids=ids, past_key_values=plain, use_cache=True)
    elements = 6 * 2 * 2 * 64 * 64  # layers, keys and values, KV heads, head width, tokens
    assert cache_bytes(plain) == elements * 2
    assert cache_bytes(kept) == elements * bits / 8


def test_a_cleared_cache_is_used_again():
    model = reference(QuantizedCache())
    cache = make_cache(model, 1, 16)
    ids = torch.arange(16)[None]
    with torch.inference_mode():
        first = model(input_ids=ids, past_key_values=cache, use_cache=True).logits
        cache.reset()
        assert cache.get_seq_length() == 0
        assert torch.equal(model(input_ids=ids, past_key_values=cache, use_cache=True).logits, first)


def test_a_model_without_the_setting_has_its_own_cache():
    from transformers import DynamicCache

    model = reference()
    assert not quantizes_cache(model)
    assert isinstance(make_cache(model, 1, 8), DynamicCache)
    assert forward_options(model, 1, 8) == {"use_cache": False}


def test_a_group_wider_than_a_head_is_refused(base, tmp_path):
    with pytest.raises(InvalidInput, match="32 does not divide the head width 16"):
        build_variant(base, tmp_path / "out", parse_recipe("kv_cache"))
    build_variant(base, tmp_path / "out", parse_recipe("kv_cache", {"group_size": 16}))
    assert quantizes_cache(load_model(tmp_path / "out", device=CPU))


def test_both_settings_may_be_built_one_after_the_other(tmp_path):
    build_variant(model_path(), tmp_path / "sparse", parse_recipe("topk_attention", {"k": 16}))
    build_variant(tmp_path / "sparse", tmp_path / "both", parse_recipe("kv_cache", {"format": "int4"}))
    config = json.loads((tmp_path / "both" / "config.json").read_text())
    assert config["inference"] == {
        "attention": {"name": "topk", "k": 16},
        "kv_cache": {"format": "int4", "group_size": 32},
    }
    model = load_model(tmp_path / "both", device=CPU)
    assert model.config._attn_implementation == "topk-16"
    assert quantizes_cache(model)


def test_a_sliding_window_is_refused(tmp_path):
    shutil.copytree(model_path(), tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["inference"] = {"kv_cache": {"format": "int8", "group_size": 32}}
    config["sliding_window"] = 128
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidInput, match="cannot quantize layers of sliding_attention"):
        load_model(tmp_path / "model", device=CPU)
