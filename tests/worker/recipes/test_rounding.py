from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.engines.formats.quantized_linear import FP8_MAX
from worker.recipes.rounding import round_in_groups, round_rows_to_int8, round_to_fp8

pytestmark = pytest.mark.worker

weights = st.builds(
    lambda seed, spread, shift: (
        torch.randn(8, 128, generator=torch.Generator().manual_seed(seed)) * spread + shift
    ).bfloat16(),
    st.integers(0, 2**31),
    st.sampled_from([1e-4, 0.02, 3.0]),
    st.sampled_from([0.0, 0.05, -5.0]),
)


@settings(deadline=None, max_examples=60)
@given(weight=weights, bits=st.sampled_from([2, 3, 4]), symmetric=st.booleans())
def test_no_weight_moves_by_more_than_half_a_step(weight, bits, symmetric):
    integers = round_in_groups(weight, bits=bits, group_size=32, symmetric=symmetric, dtype=torch.bfloat16)
    assert int(integers.values.max()) < 2**bits
    assert int(integers.zeros.max()) < 2**bits
    steps = integers.scales.float().repeat_interleave(32, dim=1)
    moved = (integers.dequantize() - weight.float()).abs()
    # Asymmetric: rounding the zero point may clip the far end by another half. Symmetric: BF16 may round the scale down.
    assert bool((moved <= steps * (1.02 if not symmetric else 0.53)).all())


@settings(deadline=None, max_examples=40)
@given(weight=weights)
def test_the_zero_term_of_four_bit_kernels_is_exact(weight):
    integers = round_in_groups(weight, bits=4, group_size=32, symmetric=False, dtype=torch.bfloat16)
    exact = (8 - integers.zeros.double()) * integers.scales.double()
    assert torch.equal(exact.bfloat16().double(), exact)


@pytest.mark.parametrize("symmetric", [True, False])
def test_zeros_stay_zero(symmetric):
    weight = torch.zeros(4, 64).bfloat16()
    weight[0, 40] = 1.0
    integers = round_in_groups(weight, bits=4, group_size=32, symmetric=symmetric, dtype=torch.bfloat16)
    assert torch.equal(integers.dequantize() == 0, weight.float() == 0)
    assert torch.isfinite(integers.scales).all()


def test_eight_bits_keep_the_largest_of_each_row():
    weight = torch.randn(16, 64).bfloat16()
    values, scales = round_rows_to_int8(weight)
    assert torch.equal(values.abs().amax(dim=1), torch.full((16,), 127, dtype=torch.int8))
    assert bool(((values.float() * scales - weight.float()).abs() <= scales * 0.5001).all())


@pytest.mark.parametrize("per_row", [True, False])
def test_fp8_uses_its_whole_range_and_never_overflows(per_row):
    weight = torch.randn(16, 64).bfloat16() * 1000
    numbers, scales = round_to_fp8(weight, per_row=per_row)
    assert float(numbers.float().abs().max()) == FP8_MAX
    assert scales.shape == ((16, 1) if per_row else (1,))
    assert bool(
        ((numbers.float() * scales - weight.float()).abs() <= weight.float().abs() / 16 + scales / 512).all()
    )
