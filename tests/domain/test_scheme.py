from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.constraint import SchemeFilter
from planner.domain.scheme import ActivationScaling, NumberFormat, Precision, Scheme
from planner.errors import InvalidInput

F = NumberFormat


@pytest.mark.parametrize(
    ("precision", "bits"),
    [
        # one 16-bit scale per group, and a zero point of the format's own width where the group is asymmetric
        (Precision(format=F.INT4, group_size=128), 4.125),
        (Precision(format=F.INT4, group_size=128, symmetric=False), 4.15625),
        (Precision(format=F.INT4, group_size=32), 4.5),
        (Precision(format=F.INT4, group_size=32, symmetric=False), 4.625),
        (Precision(format=F.NF4, group_size=64, scale_bits=32), 4.5),
        (Precision(format=F.FP8, group_size=128 * 128, scale_bits=32), 8.001953125),
        (Precision(format=F.INT8), 8.0),
        (Precision(format=F.BF16), 16.0),
        # formats whose block layout fixes the scales: OCP MX, NVFP4, GGUF
        (Precision(format=F.MXFP4), 4 + 8 / 32),
        (Precision(format=F.MXFP8), 8 + 8 / 32),
        (Precision(format=F.NVFP4), 4 + 8 / 16),
        (Precision(format=F.Q8_0), 8.5),
        (Precision(format=F.Q6_K), 6.5625),
        (Precision(format=F.Q5_K), 5.5),
        (Precision(format=F.Q4_K), 4.5),
        (Precision(format=F.Q3_K), 3.4375),
        (Precision(format=F.Q2_K), 2.625),
    ],
)
def test_effective_bits_include_scales_and_zero_points(precision: Precision, bits: float):
    assert precision.bits == bits


def test_gguf_bits_are_the_block_sizes_of_llama_cpp():
    """Bytes per block over elements per block, from the `gguf` package that llama.cpp publishes."""
    gguf = pytest.importorskip("gguf")
    for number_format in NumberFormat:
        if number_format.is_gguf:
            elements, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[number_format.value.upper()]]
            assert number_format.bits == size * 8 / elements, number_format


@given(st.sampled_from(NumberFormat))
def test_every_format_is_complete(number_format: NumberFormat):
    assert 1 <= number_format.nominal_bits <= 32
    assert number_format.nominal_bits <= number_format.bits < number_format.nominal_bits + 1.1
    assert number_format.is_gguf is number_format.value.startswith(("q", "iq", "tq"))


@given(st.sampled_from(NumberFormat), st.integers(1, 1_048_576), st.booleans())
def test_a_finer_group_never_costs_less(number_format: NumberFormat, group: int, symmetric: bool):
    fine = Precision(format=number_format, group_size=group, symmetric=symmetric)
    coarse = Precision(format=number_format, group_size=min(group * 2, 1_048_576), symmetric=symmetric)
    assert fine.bits >= coarse.bits > number_format.bits


@pytest.mark.parametrize("group", [0, -1, 1_048_577])
def test_group_sizes_are_bounded(group: int):
    with pytest.raises(InvalidInput, match="group_size"):
        Precision(format=F.INT4, group_size=group)


def make(weight: F, *, group: int | None = None, activation: F | None = None, **fields: object) -> Scheme:
    scaling = fields.pop("scaling", ActivationScaling.DYNAMIC if activation else None)
    assert scaling is None or isinstance(scaling, ActivationScaling)
    return Scheme(
        weight=Precision(format=weight, group_size=group),
        activation=Precision(format=activation) if activation else None,
        activation_scaling=scaling,
        **fields,  # type: ignore[arg-type]  # the few optional fields by name
    )


@pytest.mark.parametrize(
    ("scheme", "name"),
    [
        (make(F.BF16), "bf16"),
        (make(F.INT8), "int8"),
        (make(F.INT8, activation=F.INT8), "int8-dynamic"),
        (make(F.FP8, activation=F.FP8, scaling=ActivationScaling.STATIC), "fp8-static"),
        (make(F.INT4, group=128), "int4-g128"),
        (make(F.INT4, group=32, activation=F.INT8), "int4-a-int8-dynamic-g32"),
        (make(F.INT4, group=128, mixed=True), "int4-g128-mixed"),
        (make(F.Q4_K, label="q4_k_m"), "q4_k_m"),
        (make(F.BF16, kv=Precision(format=F.FP8)), "bf16-kv-fp8"),
    ],
)
def test_names(scheme: Scheme, name: str):
    assert scheme.name == name


def test_activation_and_its_scaling_go_together():
    with pytest.raises(InvalidInput, match="activation_scaling"):
        Scheme(weight=Precision(format=F.INT8), activation_scaling=ActivationScaling.DYNAMIC)


@pytest.mark.parametrize(
    ("scheme", "compute", "reference"),
    [
        (make(F.FP32), F.FP32, True),
        (make(F.FP16), F.BF16, True),
        (make(F.BF16, kv=Precision(format=F.INT8)), F.BF16, False),
        (make(F.INT4, group=128), F.BF16, False),
        (make(F.INT8, activation=F.INT8), F.INT8, False),
        (make(F.BF16, activation=F.FP8), F.FP8, False),
    ],
)
def test_what_it_computes_in_and_whether_it_is_the_reference(scheme: Scheme, compute: F, reference: bool):
    assert (scheme.compute_format, scheme.is_reference) == (compute, reference)


@pytest.mark.parametrize(
    ("scheme", "words", "absent"),
    [
        (make(F.INT4, group=128, method="awq"), {"int4", "4bit", "awq", "int4-awq", "4bit-awq", "w4a16", "weight-only", "int4-g128"}, {"int8", "gguf", "dynamic"}),
        (make(F.Q4_K, label="q4_k_m"), {"gguf", "q4_k_m", "q4_k", "q4", "4bit", "int4"}, {"awq", "fp4"}),
        (make(F.INT8, activation=F.INT8), {"int8", "int8-dynamic", "w8a8", "dynamic", "8bit"}, {"weight-only", "w8a16"}),
        (make(F.NVFP4, activation=F.NVFP4), {"nvfp4", "fp4", "4bit", "w4a4"}, {"int4"}),
        (make(F.BF16), {"bf16", "16bit", "w16a16"}, {"weight-only"}),
    ],
)  # fmt: skip
def test_words_people_use(scheme: Scheme, words: set[str], absent: set[str]):
    assert words <= scheme.terms()
    assert not absent & scheme.terms()
    for word in words:
        assert SchemeFilter(words=(word,)).admits(scheme)
        assert not SchemeFilter(words=(word,), exclude=True).admits(scheme)
    assert SchemeFilter(words=("nothing", *words)).admits(scheme)
    assert not SchemeFilter(words=tuple(absent)).admits(scheme)
