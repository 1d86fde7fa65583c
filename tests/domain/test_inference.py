from __future__ import annotations

import msgspec
import pytest

from planner.domain.inference import InferenceSettings, QuantizedCache, TopKAttention, inference_settings
from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.errors import InvalidInput

BOTH = {"attention": {"name": "topk", "k": 16}, "kv_cache": {"format": "int4", "group_size": 64}}


def test_a_configuration_without_the_object_says_nothing():
    assert inference_settings({"model_type": "llama"}) == InferenceSettings()
    assert inference_settings({"inference": None}) == InferenceSettings()


def test_what_is_written_is_read_back():
    settings = inference_settings({"inference": BOTH})
    assert settings == InferenceSettings(
        attention=TopKAttention(k=16), kv_cache=QuantizedCache(format="int4", group_size=64)
    )
    assert msgspec.to_builtins(settings) == BOTH


def test_a_scheme_names_both_and_is_no_reference():
    bf16 = Scheme(weight=Precision(format=NumberFormat.BF16))
    scheme = inference_settings({"inference": BOTH}).applied_to(bf16)
    assert scheme.name == "bf16-kv-int4-topk-16"
    assert scheme.kv is not None
    assert scheme.kv.bits == 4.25
    assert not scheme.is_reference
    assert InferenceSettings().applied_to(bf16) == bf16


def test_newer_settings_go_over_older_ones():
    older = inference_settings({"inference": BOTH})
    newer = InferenceSettings(attention=TopKAttention(k=64))
    assert newer.over(older) == InferenceSettings(attention=TopKAttention(k=64), kv_cache=older.kv_cache)


@pytest.mark.parametrize(
    ("declared", "field"),
    [
        ({"attention": {"name": "topk", "k": 0}}, "inference.attention.k"),
        ({"kv_cache": {"group_size": 48}}, "inference.kv_cache.group_size"),
        ({"kv_cache": {"format": "int3"}}, "inference"),
        ({"attention": {"name": "magic"}}, "inference"),
        ({"speculation": {}}, "inference"),
        ("topk", "inference"),
    ],
)
def test_what_is_not_understood_is_refused(declared, field):
    with pytest.raises(InvalidInput) as caught:
        inference_settings({"inference": declared})
    assert caught.value.details["field"] == field
