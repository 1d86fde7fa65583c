from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.engines.formats.integer_packing import pack, unpack, words

pytestmark = pytest.mark.worker


@settings(deadline=None, max_examples=60)
@given(
    bits=st.integers(1, 8), rows=st.integers(1, 5), columns=st.integers(1, 200), seed=st.integers(0, 2**31)
)
def test_what_was_packed_comes_back(bits, rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 2**bits, (rows, columns), generator=generator, dtype=torch.uint8)
    packed = pack(values, bits)
    assert packed.dtype is torch.int32
    assert packed.shape == (rows, words(columns, bits))
    assert torch.equal(unpack(packed, bits, columns), values)


def test_the_first_value_takes_the_lowest_bits():
    assert pack(torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8]], dtype=torch.uint8), 4).tolist() == [[-2023406815]]
    assert -2023406815 % 2**32 == 0x87654321


def test_three_bits_waste_none():
    """As compressed-tensors writes them: value i at bit 3i of the row, across the borders of words."""
    values = torch.arange(32, dtype=torch.uint8)[None] % 8
    whole = sum(int(value) << (3 * i) for i, value in enumerate(values[0]))
    expected = [(whole >> (32 * word)) & 0xFFFFFFFF for word in range(3)]
    assert [word % 2**32 for word in pack(values, 3)[0].tolist()] == expected


def test_many_rows_are_converted_in_pieces():
    values = torch.randint(0, 16, (5000, 32), dtype=torch.uint8)
    assert torch.equal(unpack(pack(values, 4), 4, 32), values)
