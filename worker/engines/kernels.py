"""Which library multiplies quantized weights. The same variant runs an order of magnitude apart depending on it.

torchao's own products are good in some cases and slow in others: INT8 weight-only widens the weights in a separate pass.
Humming (github.com/vllm-project/humming) compiles a kernel for each
shape that reads the quantized weights directly, in integers of 2 to 8 bits and FP8, with 16-bit or 8-bit activations.
The values and scales are the variant's own; nothing is quantized again, except that scales are held in 16 bits.
"""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from planner.errors import InvalidInput
from worker.engines.plain import Plain

if TYPE_CHECKING:
    import torch

    from worker.engines.modules import HummingLinear

MINIMUM_CAPABILITY: Final = (8, 0)
"""Compute capability from which Humming multiplies BF16 activations."""
_MOST_ROWS: Final = 8192
"""Beyond it Humming's choice of kernel does not change."""
_PACK: Final = 32
"""Weights are packed in 32-bit words, whole words per row and group."""


class Kernels(StrEnum):
    """Library asked for."""

    AUTO = "auto"
    """Humming for what it can run exactly, torchao for the rest."""
    TORCHAO = "torchao"
    HUMMING = "humming"
    """As auto, and refused where the library or the device is missing."""


def missing(device: torch.device) -> str | None:
    """Return why Humming cannot run on `device`, None when it can."""
    import torch

    if device.type != "cuda":
        return "it needs a CUDA device"
    if importlib.util.find_spec("humming") is None:
        return "the package humming-kernels is not installed (extra `kernels`)"
    capability = torch.cuda.get_device_capability(device)
    if capability < MINIMUM_CAPABILITY:
        return f"compute capability {capability[0]}.{capability[1]} is below 8.0"
    return None


def choose(asked: Kernels, device: torch.device) -> Kernels:
    """Return the library to use on `device`. Raises InvalidInput when Humming was asked for and cannot run."""
    if asked is Kernels.TORCHAO:
        return Kernels.TORCHAO
    reason = missing(device)
    if reason is None:
        return Kernels.HUMMING
    if asked is Kernels.HUMMING:
        raise InvalidInput("kernels", f"`humming` cannot run here: {reason}", allowed="auto or torchao")
    return Kernels.TORCHAO


def refusal(weight: Plain) -> str | None:
    """Return why Humming does not take this weight, None when it does."""
    rows, columns = weight.values.shape
    group = weight.group_size or columns
    if columns % _PACK or rows % _PACK or group % _PACK:
        return f"{rows} x {columns} in groups of {group} is not made of whole words"
    if weight.bits == 8 and weight.zeros is not None:
        return "8-bit integers with zero points"
    if weight.activation == "fp8":
        return "FP8 on both sides: torch's own product is the faster"
    return None


def humming_linear(weight: Plain, bias: torch.Tensor | None, dtype: torch.dtype) -> HummingLinear:
    """Return a module that multiplies by `weight` with a Humming kernel. The caller has asked `refusal`."""
    import torch
    from humming.layer import HummingLayer  # pyright: ignore[reportMissingImports]  # an extra

    from worker.engines.humming_schema import OffsetSchema
    from worker.engines.modules import HummingLinear

    settings: dict[str, Any] = {"dtype": "float8e4m3" if weight.is_float else f"uint{weight.bits}"}
    if weight.group_size is not None:
        settings["group_size"] = weight.group_size
    if weight.zeros is not None:
        settings["has_zero_point"] = True
    rows, columns = weight.values.shape
    layer: Any = HummingLayer(
        shape_n=rows,
        shape_k=columns,
        weight_config=OffsetSchema.from_config({"quant_method": "humming", **settings}),
        input_config={"dtype": "int8"} if weight.activation == "int8" else None,
        has_bias=bias is not None,
        torch_dtype=dtype,
    ).to(weight.values.device)
    tensors = {"weight": _packed(weight), "weight_scale": weight.scales.to(dtype).contiguous()}
    if weight.zeros is not None:
        zeros = weight.zeros.t().contiguous().to(torch.int32)
        tensors["zero_point"] = _pack_words(zeros, weight.bits).t().contiguous()
    if bias is not None:
        tensors["bias"] = bias.to(dtype)
    layer.load_from_tensors(tensors)
    layer.transform()
    return HummingLinear(layer, columns, rows)


def _packed(weight: Plain) -> torch.Tensor:
    """Return the values as 32-bit words, the first value in the lowest bits."""
    import torch

    values = weight.values.contiguous()
    if weight.bits == 8:
        return values.view(torch.uint8).view(torch.int32)
    return _pack_words(values.to(torch.int32), weight.bits)


def _pack_words(values: torch.Tensor, bits: int) -> torch.Tensor:
    from humming import ops  # pyright: ignore[reportMissingImports]  # an extra

    packed: torch.Tensor = ops.pack_weight(values, bits)
    return packed


def compile_kernels(layers: Iterable[HummingLinear], rows: Sequence[int]) -> None:
    """Compile the kernels that the layers need for inputs of these numbers of rows, many at a time.

    Each layer is told to use just those: Humming would otherwise compile one for every range of rows. Without layers the
    library need not be there.
    """
    layers = tuple(layers)
    if not layers:
        return
    from humming.kernel.humming import HummingKernel  # pyright: ignore[reportMissingImports]  # an extra
    from humming.tune import get_heuristics_config  # pyright: ignore[reportMissingImports]  # an extra

    wanted: dict[str, str] = {}
    device = None
    for linear in layers:
        config = linear.layer.humming_config
        device = next(linear.parameters()).device
        name = config.to_str()
        if name not in wanted:
            wanted[name] = _intervals(
                [
                    (count, get_heuristics_config(config, shape_m=count, device=device))
                    for count in sorted({min(rows_, _MOST_ROWS) for rows_ in rows})
                ]
            )
        linear.tuning = wanted[name]
    with ThreadPoolExecutor(max_workers=max(1, len(wanted))) as pool:
        list(
            pool.map(
                lambda item: HummingKernel.prepare_kernels(item[0], None, item[1], device), wanted.items()
            )
        )


def _intervals(configurations: list[tuple[int, dict[str, Any]]]) -> str:
    """Return Humming's list of [above, up to, configuration], one entry a number of rows, the last without end."""
    found: list[list[Any]] = []
    for count, settings in configurations:
        if found and found[-1][2] == settings:
            found[-1][1] = count
        else:
            found.append([found[-1][1] if found else 0, count, settings])
    found[-1][1] = 1 << 30
    return json.dumps(found, default=lambda value: getattr(value, "value", None) or str(value))


def summarize(used: Counter[str]) -> str:
    """Return the layers by the library that multiplies them, such as "humming int4: 160, torch: 1"."""
    return ", ".join(f"{name}: {count}" for name, count in sorted(used.items()))
