"""Tensor subclasses of torchao, flattened into safetensors.

torchao's writer (torchao.prototype.safetensors, 0.13 and later) stores the inner tensors of `module.weight` as
`module._weight_qdata`, `module._weight_scale`, … and a JSON description of the class under the key `module.weight` of
the file's metadata. `IntxUnpackedToInt8Tensor` keeps one int8 per weight whatever its target type is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeGuard

import msgspec

from planner.artifacts.headers.tensor import StoredTensor
from planner.artifacts.json_document import decode_json, is_list, is_object
from planner.artifacts.quantization.weight import (
    Layout,
    TensorMap,
    Weight,
    contradiction,
    integer_format,
    total_bytes,
)
from planner.domain.scheme import ActivationScaling, NumberFormat, Precision
from planner.errors import InvalidFile

_PACKED: Final[Mapping[str, int]] = {
    "Int4Tensor": 2,
    "Int4PlainInt32Tensor": 8,
    "Int4PreshuffledTensor": 2,
    "Int4TilePackedTo4dTensor": 8,
}
"""Logical elements per stored element of the packed 4-bit classes."""

_KNOWN: Final = frozenset(
    {"Int8Tensor", "IntxUnpackedToInt8Tensor", "Float8Tensor", "MXTensor", "NVFP4Tensor", *_PACKED}
)


class Subclass(msgspec.Struct, frozen=True, kw_only=True):
    """The description of one flattened tensor subclass."""

    name: str
    kind: str
    attributes: Mapping[str, Any]
    parts: tuple[str, ...]
    file: str


def subclasses(metadata: Mapping[str, str], file: str) -> Iterator[Subclass]:
    """Yield the tensor subclasses that a file's metadata describes; none for other writers. Raises InvalidFile."""
    if "tensor_names" not in metadata:
        return
    names = decode_json(metadata["tensor_names"].encode(), path=file, field="__metadata__.tensor_names")
    if not is_list(names) or not all(isinstance(name, str) for name in names):
        raise InvalidFile(
            file, "__metadata__.tensor_names", "is not a list of names", allowed="a list of text"
        )
    for name in names:
        field = f"__metadata__.{name[:200]}"
        text = metadata.get(name)
        description = None if text is None else decode_json(text.encode(), path=file, field=field)
        if not is_object(description) or not isinstance(description.get("_type"), str):
            raise InvalidFile(file, field, "does not describe a tensor", allowed="what torchao writes")
        kind = description["_type"]
        if kind in {"Tensor", "torch.Tensor"}:
            continue
        attributes, parts = description.get("_data"), description.get("_tensor_data_names")
        if kind not in _KNOWN:
            raise InvalidFile(
                file, field, f"tensor class {kind[:80]!r} is unknown", allowed=", ".join(sorted(_KNOWN))
            )
        if not is_object(attributes) or not is_list(parts) or not all(isinstance(p, str) for p in parts):
            raise InvalidFile(
                file, field, "does not describe a tensor subclass", allowed="what torchao writes"
            )
        module, _, leaf = name.rpartition(".")
        prefix = f"{module}._{leaf}_" if module else f"_{leaf}_"
        yield Subclass(
            name=name,
            kind=kind,
            attributes=attributes,
            parts=tuple(prefix + part for part in parts),
            file=file,
        )


def torchao_weight(subclass: Subclass, tensors: TensorMap) -> tuple[Weight, list[StoredTensor]] | None:
    """Return the weight of a flattened subclass; None when none of its tensors is in these files. Raises InvalidFile."""
    parts = [tensors[name] for name in subclass.parts if name in tensors]
    if not parts:
        return None
    data = next((part for part in parts if part.name.endswith("_qdata")), None)
    if len(parts) != len(subclass.parts) or data is None:
        missing = sorted(set(subclass.parts) - {part.name for part in parts})
        raise InvalidFile(
            subclass.file,
            f"__metadata__.{subclass.name[:200]}",
            f"describes tensors that are missing: {', '.join(missing)[:200] or 'qdata'}",
        )
    precision, parameters, columns = _facts(subclass, data)
    if precision.group_size is not None and any(
        p.name.endswith("_scale") and p.dtype == "F32" for p in parts
    ):
        precision = msgspec.structs.replace(precision, scale_bits=32)
    activation, scaling = _activation(subclass, precision)
    weight = Weight(
        name=subclass.name,
        parameters=parameters,
        nbytes=total_bytes(parts),
        layout=Layout.TORCHAO,
        precision=precision,
        container=data.dtype,
        dimensions=2 if columns else len(data.shape),
        activation=activation,
        activation_scaling=scaling,
    )
    return weight, parts


def _facts(subclass: Subclass, data: StoredTensor) -> tuple[Precision, int, int]:
    """Return precision, logical elements and the length of a row."""
    kind = subclass.kind
    if kind in _PACKED:
        shape = subclass.attributes.get("shape")
        stored = data.elements * _PACKED[kind]
        elements = math.prod(shape) if _sizes(shape) else stored
        # The tile layout pads rows to 1024 and columns to 8, so it may store more than the weight has.
        if elements > stored or (kind != "Int4TilePackedTo4dTensor" and elements != stored):
            raise contradiction(data, f"{stored} packed 4-bit integers do not fit a weight of {shape}")
        columns = shape[-1] if _sizes(shape) else data.shape[-1] * _PACKED[kind]
        return _grouped(NumberFormat.INT4, subclass, columns, data, symmetric=False), elements, columns
    if kind == "NVFP4Tensor":
        return Precision(format=NumberFormat.NVFP4), data.elements * 2, data.shape[-1] * 2
    columns = data.shape[-1] if data.shape else 1
    if kind == "MXTensor":
        four = data.dtype in {"U8", "F4"}
        per = 2 if data.dtype == "U8" else 1
        return (
            Precision(format=NumberFormat.MXFP4 if four else NumberFormat.MXFP8),
            data.elements * per,
            columns * per,
        )
    if kind == "Float8Tensor":
        if not data.dtype.startswith("F8"):
            raise contradiction(data, f"{data.dtype} in a Float8Tensor", allowed="an 8-bit float")
        return _grouped(NumberFormat.FP8, subclass, columns, data), data.elements, columns
    if data.dtype != "I8":
        raise contradiction(data, f"{data.dtype} in a {kind}", allowed="I8")
    if kind == "Int8Tensor":
        return _grouped(NumberFormat.INT8, subclass, columns, data), data.elements, columns
    target = subclass.attributes.get("target_dtype")
    name = str(target.get("_data")) if is_object(target) else ""
    bits = name.removeprefix("int")
    if not bits.isdecimal() or len(bits) > 2:
        raise contradiction(data, f"target_dtype {name[:40]!r} is unknown", allowed="int1 to int8")
    return _grouped(integer_format(int(bits), data), subclass, columns, data), data.elements, columns


def _sizes(value: Any) -> TypeGuard[list[int]]:
    return is_list(value) and 1 <= len(value) <= 4 and all(type(v) is int and 0 < v <= 2**40 for v in value)


def _grouped(
    number: NumberFormat, subclass: Subclass, columns: int, data: StoredTensor, *, symmetric: bool = True
) -> Precision:
    block = subclass.attributes.get("block_size")
    if not _sizes(block):
        raise contradiction(data, f"block_size {str(block)[:80]} is not possible", allowed="a list of sizes")
    width = block[-1]
    square = len(block) > 1 and block[-2] > 1
    return Precision(
        format=number, group_size=None if width >= columns or square else width, symmetric=symmetric
    )


def _activation(subclass: Subclass, weight: Precision) -> tuple[Precision | None, ActivationScaling | None]:
    attributes = subclass.attributes
    if any(part.endswith("_act_quant_scale") for part in subclass.parts):
        return Precision(format=weight.format), ActivationScaling.STATIC
    named = attributes.get("activation_quantization")
    if isinstance(named, str):
        return Precision(format=NumberFormat.INT8, symmetric="asym" not in named), ActivationScaling.DYNAMIC
    kwargs = attributes.get("act_quant_kwargs")
    if not is_object(kwargs):
        if attributes.get("activation_dtype") == {"_type": "torch.dtype", "_data": "float8_e4m3fn"}:
            return Precision(format=NumberFormat.FP8), ActivationScaling.DYNAMIC
        return None, None
    data: Any = kwargs.get("_data")
    mapping: Any = data.get("mapping_type") if is_object(data) else None
    symmetric = not (is_object(mapping) and mapping.get("_data") == "ASYMMETRIC")
    return Precision(format=weight.format, symmetric=symmetric), ActivationScaling.DYNAMIC
