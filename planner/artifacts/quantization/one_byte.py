"""Weights kept in one byte or in packed 4-bit floats: bitsandbytes, FP8 and INT8 with scales, NVFP4, MXFP4.

Layouts after bitsandbytes (4-bit: `weight` U8 [⌈n/2⌉, 1], `weight.absmax`, `weight.quant_map`,
`weight.quant_state.bitsandbytes__nf4` holding JSON; 8-bit: `weight` I8 and `SCB`), compressed-tensors (`weight_scale`,
`weight_packed` U8 with `weight_global_scale`), DeepSeek-V3 (`weight_scale_inv` per 128x128 block), FBGEMM
(`weight_scale` per row), NVIDIA ModelOpt (`weight_scale_2`) and gpt-oss (`…_blocks` U8 [.., 16] with `…_scales`).
"""

from __future__ import annotations

import math

from planner.artifacts.headers.tensor import StoredTensor, TensorReader
from planner.artifacts.json_document import decode_json, is_list, is_object
from planner.artifacts.quantization.weight import (
    Layout,
    TensorMap,
    Weight,
    contradiction,
    present,
    total_bytes,
)
from planner.domain.scheme import NumberFormat, Precision

Found = tuple[Weight, list[StoredTensor]]

ONE_BYTE = frozenset({"I8", "U8", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ"})
_EXPONENT_SCALES = frozenset({"U8", "F8_E8M0"})
_QUANT_STATES = {"nf4": NumberFormat.NF4, "fp4": NumberFormat.FP4}
_MAX_QUANT_STATE = 4096
_NOT_WEIGHTS = (
    "_scale",
    "_scale_inv",
    "_scales",
    "_zero_point",
    ".SCB",
    ".absmax",
    ".weight_format",
    ".nested_absmax",
)


def one_byte(tensor: StoredTensor, tensors: TensorMap, read: TensorReader) -> Found | None:
    """Return the weight a one-byte tensor and its neighbours make; None when the tensor is only a part of another.

    Raises InvalidFile for integers without scales, whose values nobody could know.
    """
    name = tensor.name
    if name.endswith(_NOT_WEIGHTS) or ".quant_state." in name:
        return None
    module, _, leaf = name.rpartition(".")
    if f"{name}.absmax" in tensors:
        return _bitsandbytes_4bit(tensor, tensors, read)
    if tensor.dtype == "I8" and leaf == "weight" and f"{module}.SCB" in tensors:
        parts = [tensor, *present(tensors, [f"{module}.SCB", f"{module}.weight_format"])]
        return _weight(tensor, parts, Layout.BNB_8BIT, Precision(format=NumberFormat.INT8)), parts
    if leaf == "weight_packed" or f"{name}_scale_2" in tensors:
        return _packed_fp4(tensor, tensors)
    if name.endswith("_blocks") and f"{name.removesuffix('_blocks')}_scales" in tensors:
        return _mxfp4_blocks(tensor, tensors[f"{name.removesuffix('_blocks')}_scales"])
    return _scaled(tensor, tensors)


def _weight(tensor: StoredTensor, parts: list[StoredTensor], layout: Layout, precision: Precision) -> Weight:
    return Weight(
        name=tensor.name,
        parameters=tensor.elements,
        nbytes=total_bytes(parts),
        layout=layout,
        precision=precision,
        container=tensor.dtype,
        dimensions=len(tensor.shape),
        shape=tensor.shape,
    )


def _bitsandbytes_4bit(tensor: StoredTensor, tensors: TensorMap, read: TensorReader) -> Found:
    name = tensor.name
    states = {kind: f"{name}.quant_state.bitsandbytes__{kind}" for kind in _QUANT_STATES}
    kind = next((kind for kind, state in states.items() if state in tensors), None)
    if kind is None:
        raise contradiction(
            tensor, "has absmax but no quant_state", allowed="quant_state.bitsandbytes__nf4 or __fp4"
        )
    state_tensor = tensors[states[kind]]
    state = decode_json(read(state_tensor, _MAX_QUANT_STATE), path=tensor.file, field=state_tensor.name)
    shape = state.get("shape") if is_object(state) else None
    block = state.get("blocksize") if is_object(state) else None
    if (
        not is_list(shape)
        or not 1 <= len(shape) <= 4
        or not all(type(size) is int and 0 < size <= 2**40 for size in shape)
        or type(block) is not int
        or not 1 <= block <= 2**20
    ):
        raise contradiction(
            state_tensor, "does not state shape and blocksize", allowed="JSON of bitsandbytes"
        )
    elements = math.prod(shape)
    absmax = tensors[f"{name}.absmax"]
    if tensor.elements != math.ceil(elements / 2) or absmax.elements != math.ceil(elements / block):
        raise contradiction(
            tensor, f"{tensor.elements} bytes and {absmax.elements} scales do not fit a weight of {shape}"
        )
    nested = f"{name}.nested_absmax" in tensors
    parts = [
        tensor,
        *present(
            tensors,
            [f"{name}.{part}" for part in ("absmax", "quant_map", "nested_absmax", "nested_quant_map")],
        ),
        state_tensor,
    ]
    weight = Weight(
        name=name,
        parameters=elements,
        nbytes=total_bytes(parts),
        layout=Layout.BNB_4BIT,
        precision=Precision(format=_QUANT_STATES[kind], group_size=block, scale_bits=8 if nested else 32),
        container=tensor.dtype,
        dimensions=len(shape),
    )
    return weight, parts


def _packed_fp4(tensor: StoredTensor, tensors: TensorMap) -> Found:
    name = tensor.name.removesuffix("_packed")
    scale = tensors.get(f"{name}_scale")
    if scale is None or tensor.dtype != "U8":
        raise contradiction(
            tensor, f"{tensor.dtype} without its scale", allowed="U8 with weight_scale beside it"
        )
    elements = tensor.elements * 2
    nvfp4 = scale.dtype == "F8_E4M3"
    block = 16 if nvfp4 else 32
    if (not nvfp4 and scale.dtype not in _EXPONENT_SCALES) or scale.elements * block != elements:
        raise contradiction(
            scale, f"{scale.elements} scales in {scale.dtype} do not fit {elements} 4-bit floats"
        )
    parts = [tensor, scale, *present(tensors, [f"{name}_global_scale", f"{name}_scale_2"])]
    precision = Precision(format=NumberFormat.NVFP4 if nvfp4 else NumberFormat.MXFP4)
    weight = Weight(
        name=name,
        parameters=elements,
        nbytes=total_bytes(parts),
        layout=Layout.PACKED_FP4,
        precision=precision,
        container=tensor.dtype,
        dimensions=len(tensor.shape),
    )
    return weight, parts


def _mxfp4_blocks(tensor: StoredTensor, scales: StoredTensor) -> Found:
    elements = tensor.elements * 2
    if tensor.dtype != "U8" or scales.dtype not in _EXPONENT_SCALES or scales.elements * 32 != elements:
        raise contradiction(
            tensor, f"{tensor.elements} bytes do not fit {scales.elements} scales of 32 elements"
        )
    parts = [tensor, scales]
    weight = Weight(
        name=tensor.name.removesuffix("_blocks"),
        parameters=elements,
        nbytes=total_bytes(parts),
        layout=Layout.MXFP4_BLOCKS,
        precision=Precision(format=NumberFormat.MXFP4),
        container=tensor.dtype,
        dimensions=max(len(tensor.shape) - 1, 1),
    )
    return weight, parts


def _scaled(tensor: StoredTensor, tensors: TensorMap) -> Found | None:
    name = tensor.name
    scale = tensors.get(f"{name}_scale_inv") or tensors.get(f"{name}_scale")
    is_float = tensor.dtype.startswith("F8")
    if scale is None:
        if is_float:  # plain casts to FP8 exist; their scale is one
            return _weight(tensor, [tensor], Layout.SCALED, Precision(format=NumberFormat.FP8)), [tensor]
        if tensor.dtype == "U8" and len(tensor.shape) < 2:
            return None
        raise contradiction(
            tensor,
            f"holds {tensor.dtype} without the scales that would say what they mean",
            allowed="the layout of a known quantization method",
        )
    if tensor.dtype == "U8":
        raise contradiction(
            tensor, "holds packed bytes with a plain scale", allowed="I8 or FP8 with weight_scale"
        )
    parts = [tensor, scale, *present(tensors, [f"{name}_zero_point"])]
    rows = tensor.shape[0] if tensor.shape else 1
    columns = tensor.shape[-1] if tensor.shape else 1
    width = scale.shape[-1] if len(scale.shape) >= 2 else 1
    blocks = len(scale.shape) >= 2 and width > 1
    if width > columns or scale.elements > tensor.elements or (scale.shape and scale.shape[0] > rows):
        raise contradiction(scale, f"shape {list(scale.shape)} does not fit a weight of {list(tensor.shape)}")
    microscaled = is_float and scale.dtype in _EXPONENT_SCALES and width * 32 == columns
    number = NumberFormat.MXFP8 if microscaled else NumberFormat.FP8 if is_float else NumberFormat.INT8
    # Square blocks (128x128 in DeepSeek-V3) cost next to nothing per element and are not a group along the inputs.
    grouped = blocks and not microscaled and scale.shape[:1] == (rows,)
    precision = Precision(
        format=number,
        group_size=math.ceil(columns / width) if grouped else None,
        symmetric=f"{name}_zero_point" not in tensors,
        scale_bits=32 if grouped and scale.dtype == "F32" else 16,
    )
    return _weight(tensor, parts, Layout.SCALED, precision), parts
