"""Integers packed into 32-bit words: GPTQ along the inputs, AWQ along the outputs, compressed-tensors along rows.

Layouts after AutoGPTQ (`qweight` [in·bits/32, out], `qzeros` [groups, out·bits/32], `scales` [groups, out], `g_idx`
[in]), AutoAWQ's GEMM version (`qweight` [in, out·bits/32]) and compressed-tensors' pack-quantized format
(`weight_packed` [out, ⌈in / ⌊32/bits⌋⌉] or, dense, [out, ⌈in·bits/32⌉], `weight_scale` [out, groups], `weight_shape` holding [out, in]).
"""

from __future__ import annotations

import math
import struct

from planner.artifacts.headers.tensor import StoredTensor, TensorReader
from planner.artifacts.quantization.declaration import Declaration
from planner.artifacts.quantization.weight import (
    Layout,
    TensorMap,
    Weight,
    contradiction,
    group_size,
    integer_format,
    present,
    total_bytes,
)
from planner.domain.scheme import Precision

Found = tuple[Weight, list[StoredTensor]]


def gptq_or_awq(tensor: StoredTensor, tensors: TensorMap, declared: Declaration | None) -> Found:
    """Return the weight that `qweight` and its neighbours make. Raises InvalidFile when their shapes disagree."""
    module = tensor.name.removesuffix(".qweight")
    scales, zeros = tensors.get(f"{module}.scales"), tensors.get(f"{module}.qzeros")
    if scales is None or zeros is None:
        raise contradiction(tensor, "has no scales or qzeros beside it", allowed="the layout of GPTQ or AWQ")
    if tensor.dtype != "I32" or any(len(part.shape) != 2 for part in (tensor, scales, zeros)):
        raise contradiction(
            tensor, f"{tensor.dtype} of shape {list(tensor.shape)}", allowed="I32 of two dimensions"
        )
    groups, outputs = scales.shape
    if zeros.shape[0] != groups or not groups or not outputs:
        raise contradiction(zeros, f"shape {list(zeros.shape)} does not fit scales {list(scales.shape)}")
    bits, rest = divmod(32 * zeros.shape[1], outputs)
    index = tensors.get(f"{module}.g_idx")
    if tensor.shape[1] == outputs:
        layout, (inputs, uneven) = Layout.GPTQ, divmod(tensor.shape[0] * 32, max(bits, 1))
    else:
        layout, inputs, uneven = Layout.AWQ, tensor.shape[0], tensor.shape[1] * 32 - outputs * bits
    if rest or uneven or (index is not None and index.elements != inputs):
        raise contradiction(
            tensor,
            f"shape {list(tensor.shape)} does not fit scales {list(scales.shape)} and qzeros {list(zeros.shape)}",
        )
    symmetric = (
        declared.symmetric
        if declared is not None and declared.symmetric is not None
        else layout is Layout.GPTQ
    )
    parts = [tensor, scales, zeros, *present(tensors, [f"{module}.g_idx"])]
    weight = Weight(
        name=f"{module}.weight",
        parameters=inputs * outputs,
        nbytes=total_bytes(parts),
        layout=layout,
        precision=Precision(
            format=integer_format(bits, tensor),
            group_size=group_size(inputs, groups, declared.group_size if declared else None),
            symmetric=symmetric,
        ),
        container=tensor.dtype,
        dimensions=2,
    )
    return weight, parts


def compressed_integers(
    tensor: StoredTensor, tensors: TensorMap, declared: Declaration | None, read: TensorReader
) -> Found:
    """Return the weight that an int32 `weight_packed` and its neighbours make. Raises InvalidFile."""
    module = tensor.name.removesuffix(".weight_packed")
    shape, scale = tensors.get(f"{module}.weight_shape"), tensors.get(f"{module}.weight_scale")
    if shape is None or scale is None:
        raise contradiction(tensor, "has no weight_shape or weight_scale beside it")
    if (
        tensor.dtype != "I32"
        or len(tensor.shape) != 2
        or shape.dtype not in {"I32", "I64"}
        or shape.elements != 2
    ):
        raise contradiction(
            tensor, f"{tensor.dtype} of shape {list(tensor.shape)}", allowed="I32 of two dimensions"
        )
    outputs, inputs = struct.unpack("<2i" if shape.dtype == "I32" else "<2q", read(shape, 16))
    rows, columns = tensor.shape
    stated = sorted(number.nominal_bits for number in declared.formats) if declared else []
    bits = next((bits for bits in [*stated, 4, 8, 2, 3, 6, 5, 1] if columns in _words(inputs, bits)), None)
    if outputs != rows or inputs <= 0 or bits is None:
        raise contradiction(
            tensor, f"shape {list(tensor.shape)} cannot hold a weight of [{outputs}, {inputs}]"
        )
    groups = scale.shape[1] if len(scale.shape) == 2 else 1
    zero = tensors.get(f"{module}.weight_zero_point")
    parts = [
        tensor,
        shape,
        scale,
        *present(tensors, [f"{module}.weight_zero_point", f"{module}.weight_g_idx"]),
    ]
    weight = Weight(
        name=f"{module}.weight",
        parameters=outputs * inputs,
        nbytes=total_bytes(parts),
        layout=Layout.PACKED_INT,
        precision=Precision(
            format=integer_format(bits, tensor),
            group_size=group_size(inputs, groups, declared.group_size if declared else None),
            symmetric=zero is None,
        ),
        container=tensor.dtype,
        dimensions=2,
    )
    return weight, parts


def _words(inputs: int, bits: int) -> set[int]:
    """Return the lengths a row may have: only whole integers in each word, as older writers do, or no bit wasted."""
    return {math.ceil(inputs / (32 // bits)), math.ceil(inputs * bits / 32)} if 1 <= bits <= 32 else set()
