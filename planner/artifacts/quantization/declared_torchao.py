"""Declarations of torchao: recipe objects with class name and fields, nested by module name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from planner.artifacts.json_document import is_object
from planner.artifacts.quantization.declaration import Config, Declaration
from planner.artifacts.quantization.weight import INTEGERS, Layout
from planner.domain.scheme import NumberFormat
from planner.errors import InvalidFile

_TORCHAO: Final[Mapping[str, NumberFormat | None]] = {
    "Int8WeightOnlyConfig": NumberFormat.INT8,
    "Int8DynamicActivationInt8WeightConfig": NumberFormat.INT8,
    "Int8StaticActivationInt8WeightConfig": NumberFormat.INT8,
    "Int4WeightOnlyConfig": NumberFormat.INT4,
    "Float8DynamicActivationInt4WeightConfig": NumberFormat.INT4,
    "Float8WeightOnlyConfig": NumberFormat.FP8,
    "Float8DynamicActivationFloat8WeightConfig": NumberFormat.FP8,
    "Float8StaticActivationFloat8WeightConfig": NumberFormat.FP8,
    "NVFP4WeightOnlyConfig": NumberFormat.NVFP4,
    "NVFP4DynamicActivationNVFP4WeightConfig": NumberFormat.NVFP4,
    "IntxWeightOnlyConfig": None,
    "Int8DynamicActivationIntxWeightConfig": None,
    "MXDynamicActivationMXWeightConfig": None,
}
"""Weight format of torchao's configuration classes; None where `weight_dtype` says it."""

_TORCH_DTYPES: Final[Mapping[str, NumberFormat]] = {
    "float8_e4m3fn": NumberFormat.MXFP8,
    "float8_e5m2": NumberFormat.MXFP8,
    "float4_e2m1fn_x2": NumberFormat.MXFP4,
    **{f"int{bits}": number for bits, number in INTEGERS.items()},
}


def _torchao_configs(value: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield class name and fields of every recipe inside a torchao configuration, however it is nested."""
    if not is_object(value) or depth > 8:
        return
    kind, data = value.get("_type"), value.get("_data")
    if isinstance(kind, str) and kind.endswith("Config") and "Fqn" not in kind:
        yield kind, data
        return
    fields = data if isinstance(kind, str) else value
    if is_object(fields):
        for inner in fields.values():
            yield from _torchao_configs(inner, depth + 1)


def torchao(config: Config, file: str) -> Declaration:
    """Read what transformers writes for torchao. Raises InvalidFile."""
    quant_type = config.get("quant_type")
    formats: set[NumberFormat] = set()
    open_ended = isinstance(quant_type, str)  # the names of older versions say too little
    if not isinstance(quant_type, str | Mapping):
        raise InvalidFile(
            file, "quantization_config.quant_type", "is missing", allowed="a torchao configuration"
        )
    for kind, data in _torchao_configs(quant_type):
        number = _TORCHAO.get(kind)
        if number is None and kind in _TORCHAO and is_object(data):
            dtype = data.get("weight_dtype")
            number = _TORCH_DTYPES.get(str(dtype.get("_data"))) if is_object(dtype) else None
        if number is None:
            open_ended = True
        else:
            formats.add(number)
    return Declaration(
        file=file,
        method="torchao",
        layouts=frozenset({Layout.TORCHAO}),
        formats=frozenset() if open_ended else frozenset(formats),
        algorithm="rtn",
    )
