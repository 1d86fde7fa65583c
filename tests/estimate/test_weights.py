from __future__ import annotations

import msgspec
import pytest

from planner.domain.figure import Basis
from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.estimate.gguf_mix import mix_bytes
from planner.estimate.weights import MIX_BITS, modelled_weight_bytes
from tests.choose.records import DEEPSEEK_V3, GEMMA_3_12B, LLAMA_2_13B, LLAMA_3_8B, SCHEMES


def test_reference_weights_are_two_bytes_per_parameter() -> None:
    figure = modelled_weight_bytes(LLAMA_2_13B, SCHEMES["bf16"])
    assert figure.value == 2 * LLAMA_2_13B.parameters
    assert figure.basis is Basis.MODELLED


def test_fp32_is_four_bytes_everywhere() -> None:
    scheme = Scheme(weight=Precision(format=NumberFormat.FP32))
    assert modelled_weight_bytes(LLAMA_2_13B, scheme).value == 4 * LLAMA_2_13B.parameters


def test_embeddings_and_norms_stay_at_sixteen_bits_when_layers_are_quantized() -> None:
    kept = LLAMA_3_8B.embedding_parameters + LLAMA_3_8B.norm_parameters
    expected = LLAMA_3_8B.linear_parameters * 4.125 / 8 + 2 * kept
    assert modelled_weight_bytes(LLAMA_3_8B, SCHEMES["int4-g128"]).value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("mix", "bits"),
    [
        ("iq1_s", 2.0042), ("iq2_xs", 2.5882), ("iq2_m", 2.9294), ("iq3_xxs", 3.2548), ("iq3_xs", 3.4977), ("iq3_m", 3.7628),
        ("q2_k_s", 2.9697), ("q2_k", 3.1593), ("q3_k_s", 3.6429), ("q3_k_l", 4.2979), ("q4_k_s", 4.6672), ("q4_k_m", 4.8944),
        ("q5_k_s", 5.5704), ("q5_k_m", 5.7036), ("q6_k", 6.5633), ("q8_0", 8.5008),
    ],
)  # fmt: skip
def test_mixes_have_the_bits_that_llama_cpp_prints_for_an_8b(mix: str, bits: float) -> None:
    found = mix_bytes(LLAMA_3_8B, mix, imatrix=mix.startswith("iq"))
    assert found is not None
    assert found * 8 / LLAMA_3_8B.parameters == pytest.approx(bits, rel=3e-5)


@pytest.mark.parametrize(
    ("mix", "gib"), [("q4_k_m", 39.6), ("q2_k", 24.56), ("iq2_xs", 19.69), ("q6_k", 53.91)]
)
def test_values_of_a_70b_are_kept_in_more_bits(mix: str, gib: float) -> None:
    shape = msgspec.structs.replace(
        LLAMA_3_8B,
        hidden_size=8192,
        layers=80,
        heads=64,
        kv_heads=8,
        head_dim=128,
        intermediate_size=28672,
        model_type="llama",
    )
    # Sizes of Llama 3 70B printed by the tables cited as dai_llama3.
    found = mix_bytes(shape, mix, imatrix=True)
    assert found is not None
    assert found / 2**30 == pytest.approx(gib, rel=1e-3)


def test_rows_that_blocks_do_not_divide_fall_back_to_smaller_blocks() -> None:
    odd = msgspec.structs.replace(LLAMA_3_8B, hidden_size=LLAMA_3_8B.hidden_size + 32)
    found, whole = mix_bytes(odd, "q4_k_s", imatrix=False), mix_bytes(LLAMA_3_8B, "q4_k_s", imatrix=False)
    assert found is not None
    assert whole is not None
    assert found / odd.parameters > 1.1 * whole / LLAMA_3_8B.parameters


def test_a_mix_without_rules_has_its_published_average() -> None:
    scheme = Scheme(weight=Precision(format=NumberFormat.Q4_K), label="q4_k_m")
    expected = DEEPSEEK_V3.parameters * MIX_BITS["q4_k_m"] / 8
    assert modelled_weight_bytes(DEEPSEEK_V3, scheme).value == expected


def test_a_scale_per_row_is_counted() -> None:
    each = modelled_weight_bytes(LLAMA_3_8B, Scheme(weight=Precision(format=NumberFormat.INT8))).value
    rows = LLAMA_3_8B.layers * (4096 + 2 * 1024 + 4096 + 2 * 14336 + 4096)
    kept = LLAMA_3_8B.embedding_parameters + LLAMA_3_8B.norm_parameters
    assert each == LLAMA_3_8B.linear_parameters + 2 * kept + 4 * rows


def test_a_published_average_replaces_the_arithmetic() -> None:
    figure = modelled_weight_bytes(LLAMA_3_8B, SCHEMES["q4_k_m"], effective_bits=5.0)
    assert figure.value == LLAMA_3_8B.parameters * 5 / 8


def test_a_tied_output_may_be_held_twice_by_llama_cpp() -> None:
    tied = modelled_weight_bytes(GEMMA_3_12B, SCHEMES["q8_0"])
    assert tied.interval is not None
    table = GEMMA_3_12B.vocab_size * GEMMA_3_12B.hidden_size
    assert tied.interval.hi >= tied.value + table * MIX_BITS["q8_0"] / 8
