from __future__ import annotations

import pytest

from planner.domain.scheme import ActivationScaling, NumberFormat, Precision, Scheme
from planner.domain.scheme_label import check_claim, check_name
from planner.errors import InvalidInput

INT4 = Scheme(weight=Precision(format=NumberFormat.INT4, group_size=128))
INT8 = Scheme(weight=Precision(format=NumberFormat.INT8))
W8A8 = Scheme(
    weight=Precision(format=NumberFormat.INT8),
    activation=Precision(format=NumberFormat.INT8),
    activation_scaling=ActivationScaling.DYNAMIC,
)
BF16 = Scheme(weight=Precision(format=NumberFormat.BF16))
NF4 = Scheme(weight=Precision(format=NumberFormat.NF4, group_size=64))
Q4_K_M = Scheme(weight=Precision(format=NumberFormat.Q4_K), label="q4_k_m")
KV_INT8 = Scheme(
    weight=Precision(format=NumberFormat.BF16), kv=Precision(format=NumberFormat.INT8, group_size=32)
)
MIXED = Scheme(weight=Precision(format=NumberFormat.INT4), mixed=True)


@pytest.mark.parametrize(
    ("claim", "scheme"),
    [
        ("int4", INT4),
        ("INT4-g128", INT4),
        ("w4a16", INT4),
        ("4bit", INT4),
        ("bf16", BF16),
        ("q4_k_m", Q4_K_M),
        ("gguf", Q4_K_M),
    ],
)
def test_true_claims_pass(claim: str, scheme: Scheme) -> None:
    check_claim(claim, scheme)


@pytest.mark.parametrize(
    ("claim", "scheme"), [("int8", INT4), ("int4", INT8), ("fp16", BF16), ("awq", INT4), ("", INT4)]
)
def test_false_claims_are_refused_with_what_is_true(claim: str, scheme: Scheme) -> None:
    with pytest.raises(InvalidInput, match="contradicts") as caught:
        check_claim(claim, scheme)
    assert scheme.name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("llama-3-8b", INT4),
        ("my-int4-build", INT4),
        ("model.w8a8", W8A8),
        ("model-w8a16", INT8),
        ("qwen2.5-4bit", NF4),
        ("4-bit build", INT4),
        ("gemma-q4_k_m", Q4_K_M),
        ("gemma-Q4_K", Q4_K_M),
        ("v8 of april", INT4),
        ("interest8", INT4),
        ("int8 with int4 layers", MIXED),
        ("baseline-bf16", BF16),
        ("bf16-kv-int8-g32", KV_INT8),
        ("kv_int8 of bf16", KV_INT8),
    ],
)
def test_names_that_agree(name: str, scheme: Scheme) -> None:
    check_name(name, scheme)


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("llama-int8", INT4),
        ("llama-4bit", INT8),
        ("llama-w4a16", INT8),
        ("llama-w8a16", W8A8),
        ("llama-fp16", BF16),
        ("llama-q5_k_m", Q4_K_M),
        ("llama-q4_k_s", Q4_K_M),
        ("llama-q4_k_m", INT4),
        ("llama.fp8", INT8),
        ("bf16-kv-int4", KV_INT8),
        ("bf16-kv-int8", BF16),
        ("mkv-int8", KV_INT8),
    ],
)
def test_names_that_contradict(name: str, scheme: Scheme) -> None:
    with pytest.raises(InvalidInput, match="contradicts"):
        check_name(name, scheme)
