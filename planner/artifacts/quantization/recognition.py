"""From stored tensors to logical weights: each layout claims its tensors, the rest are plain parameters or buffers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from planner.artifacts.headers.tensor import StoredTensor, TensorReader
from planner.artifacts.quantization.declaration import Declaration
from planner.artifacts.quantization.integer_packing import compressed_integers, gptq_or_awq
from planner.artifacts.quantization.one_byte import ONE_BYTE, one_byte
from planner.artifacts.quantization.torchao import Subclass, torchao_weight
from planner.artifacts.quantization.weight import Layout, TensorMap, Weight, contradiction
from planner.domain.scheme import NumberFormat, Precision

_PLAIN: Final = {
    "F32": NumberFormat.FP32,
    "F16": NumberFormat.FP16,
    "BF16": NumberFormat.BF16,
    "F64": NumberFormat.FP32,  # no runtime computes in 64 bits; the bytes are counted as stored
}
_BUFFER_ENDINGS: Final = (
    "_scale",
    "_scale_inv",
    "_scale_2",
    "_scales",
    "_scale_ub",
    "_zero_point",
    "_g_idx",
    ".inv_freq",
    ".position_ids",
    ".masked_bias",
    ".attn.bias",
    ".SCB",
    ".weight_format",
    ".weight_shape",
)
"""Tensors that a runtime keeps beside the parameters: calibration scales, caches of positions, masks."""

_NEVER_PACKED: Final = frozenset({*_PLAIN, "I64", "BOOL", "C64"})


def recognise(
    tensors: TensorMap, subclasses: Iterable[Subclass], declared: Declaration | None, read: TensorReader
) -> tuple[Weight, ...]:
    """Return every logical weight of `tensors`, buffers included, in a stable order.

    Raises InvalidFile for tensors whose shapes contradict each other and for packed integers of no known layout.
    """
    claimed: set[str] = set()
    weights: list[Weight] = []

    def claim(found: tuple[Weight, list[StoredTensor]] | None) -> None:
        if found is not None:
            weights.append(found[0])
            claimed.update(part.name for part in found[1])

    for subclass in subclasses:
        claim(torchao_weight(subclass, tensors))
    for name, tensor in tensors.items():
        if name in claimed:
            continue
        if name.endswith(".qweight"):
            claim(gptq_or_awq(tensor, tensors, declared))
        elif name.endswith(".weight_packed") and tensor.dtype == "I32":
            claim(compressed_integers(tensor, tensors, declared, read))
        elif tensor.dtype in ONE_BYTE:
            claim(one_byte(tensor, tensors, read))
    weights.extend(_plain(tensor) for name, tensor in tensors.items() if name not in claimed)
    return tuple(weights)


def _plain(tensor: StoredTensor) -> Weight:
    buffer = tensor.name.endswith(_BUFFER_ENDINGS)
    if not buffer and len(tensor.shape) > 1 and tensor.dtype not in _NEVER_PACKED:
        raise contradiction(
            tensor,
            f"{tensor.dtype} of shape {list(tensor.shape)} belongs to no known layout",
            allowed="torchao, GPTQ, AWQ, bitsandbytes, compressed-tensors, FP8, ModelOpt, MXFP4 or plain floats",
        )
    number = None if buffer else _PLAIN.get(tensor.dtype)
    return Weight(
        name=tensor.name,
        parameters=tensor.elements if number else 0,
        nbytes=tensor.nbytes,
        layout=Layout.PLAIN,
        precision=Precision(format=number) if number else None,
        container=tensor.dtype,
        dimensions=len(tensor.shape),
        shape=tensor.shape,
    )
