from __future__ import annotations

import pytest

from planner.domain.figure import Basis
from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.estimate.weights import MIX_BITS, modelled_weight_bytes
from tests.choose.records import GEMMA_3_12B, LLAMA_2_13B, LLAMA_3_8B, SCHEMES


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


def test_mixes_use_published_bits_over_all_parameters() -> None:
    figure = modelled_weight_bytes(LLAMA_3_8B, SCHEMES["q4_k_m"])
    assert figure.value == LLAMA_3_8B.parameters * 4.85 / 8
    # llama.cpp prints 4.58 GiB for this very file.
    assert figure.interval is not None
    assert figure.interval.lo < 4.58 * 2**30 < figure.interval.hi


def test_gguf_format_without_a_published_mix_uses_its_own_bits() -> None:
    scheme = Scheme(weight=Precision(format=NumberFormat.Q5_0))
    assert "q5_0" not in MIX_BITS
    assert modelled_weight_bytes(LLAMA_3_8B, scheme).value == LLAMA_3_8B.parameters * 5.5 / 8


def test_a_published_average_replaces_the_arithmetic() -> None:
    figure = modelled_weight_bytes(LLAMA_3_8B, SCHEMES["q4_k_m"], effective_bits=5.0)
    assert figure.value == LLAMA_3_8B.parameters * 5 / 8


def test_a_tied_output_may_be_held_twice_by_llama_cpp() -> None:
    tied = modelled_weight_bytes(GEMMA_3_12B, SCHEMES["q8_0"])
    assert tied.interval is not None
    table = GEMMA_3_12B.vocab_size * GEMMA_3_12B.hidden_size
    assert tied.interval.hi >= tied.value + table * MIX_BITS["q8_0"] / 8
