"""Declarations of the methods with one flat configuration: bits, group size, symmetry."""

from __future__ import annotations

from planner.artifacts.quantization.declaration import Config, Declaration, bit_width, group_of
from planner.artifacts.quantization.weight import INTEGERS, Layout
from planner.domain.scheme import ActivationScaling, NumberFormat, Precision
from planner.errors import InvalidFile


def gptq(config: Config, file: str) -> Declaration:
    """Read what AutoGPTQ and GPTQModel write. Raises InvalidFile."""
    bits = bit_width(config, file, "bits")
    per_module = bool(config.get("dynamic"))
    symmetric = config.get("sym")
    return Declaration(
        file=file,
        method="gptq",
        layouts=frozenset({Layout.GPTQ}),
        formats=frozenset() if per_module else frozenset({INTEGERS[bits]}),
        group_size=None if per_module else group_of(config, file, "group_size"),
        symmetric=symmetric if isinstance(symmetric, bool) else None,
        algorithm="gptq",
    )


def awq(config: Config, file: str) -> Declaration:
    """Read what AutoAWQ writes. Raises InvalidFile."""
    bits = bit_width(config, file, "bits", "w_bit")
    return Declaration(
        file=file,
        method="awq",
        layouts=frozenset({Layout.AWQ}),
        formats=frozenset({INTEGERS[bits]}),
        group_size=group_of(config, file, "group_size", "q_group_size"),
        symmetric=config.get("zero_point") is False,
        algorithm="awq",
    )


def auto_round(config: Config, file: str) -> Declaration:
    """Read what AutoRound writes, whichever layout it packed for. Raises InvalidFile."""
    bits = bit_width(config, file, "bits")
    per_module = bool(config.get("extra_config"))
    integers = str(config.get("data_type", "int")).startswith("int")
    symmetric = config.get("sym")
    return Declaration(
        file=file,
        method="auto-round",
        layouts=frozenset({Layout.GPTQ, Layout.AWQ, Layout.PACKED_INT, Layout.PACKED_FP4, Layout.SCALED}),
        formats=frozenset({INTEGERS[bits]}) if integers and not per_module else frozenset(),
        group_size=None if per_module or not integers else group_of(config, file, "group_size"),
        symmetric=symmetric if isinstance(symmetric, bool) else None,
        algorithm="autoround",
    )


def bitsandbytes(config: Config, file: str) -> Declaration:
    """Read what transformers writes for bitsandbytes. Raises InvalidFile."""
    if config.get("load_in_8bit"):
        return Declaration(
            file=file,
            method="bitsandbytes",
            layouts=frozenset({Layout.BNB_8BIT}),
            formats=frozenset({NumberFormat.INT8}),
            activation=Precision(format=NumberFormat.INT8),
            activation_scaling=ActivationScaling.DYNAMIC,
            algorithm="rtn",
        )
    kind = config.get("bnb_4bit_quant_type", "fp4")
    if not isinstance(kind, str) or kind not in {"nf4", "fp4"}:
        raise InvalidFile(
            file,
            "quantization_config.bnb_4bit_quant_type",
            f"{str(kind)[:40]!r} is unknown",
            allowed="nf4, fp4",
        )
    return Declaration(
        file=file,
        method="bitsandbytes",
        layouts=frozenset({Layout.BNB_4BIT}),
        formats=frozenset({NumberFormat(kind)}),
        algorithm="rtn",
    )


def fp8(config: Config, file: str) -> Declaration:
    """Read the block FP8 of DeepSeek-V3 and the `fp8` method of vLLM. Raises InvalidFile."""
    scheme = config.get("activation_scheme", "dynamic")
    if not isinstance(scheme, str) or scheme not in {"dynamic", "static"}:
        raise InvalidFile(
            file,
            "quantization_config.activation_scheme",
            f"{str(scheme)[:40]!r} is unknown",
            allowed="dynamic, static",
        )
    return Declaration(
        file=file,
        method="fp8",
        layouts=frozenset({Layout.SCALED}),
        formats=frozenset({NumberFormat.FP8}),
        activation=Precision(format=NumberFormat.FP8),
        activation_scaling=ActivationScaling(scheme),
        algorithm="rtn",
    )


def fbgemm(_: Config, file: str) -> Declaration:
    """Read FBGEMM FP8, which scales activations per token. Raises InvalidFile."""
    return Declaration(
        file=file,
        method="fbgemm_fp8",
        layouts=frozenset({Layout.SCALED}),
        formats=frozenset({NumberFormat.FP8}),
        activation=Precision(format=NumberFormat.FP8),
        activation_scaling=ActivationScaling.DYNAMIC,
        algorithm="rtn",
    )


def mxfp4(_: Config, file: str) -> Declaration:
    """Read the MXFP4 of gpt-oss. Raises InvalidFile."""
    return Declaration(
        file=file,
        method="mxfp4",
        layouts=frozenset({Layout.MXFP4_BLOCKS}),
        formats=frozenset({NumberFormat.MXFP4}),
    )


def modelopt(config: Config, file: str) -> Declaration:
    """Read the `quantization` part of ModelOpt's configuration. Raises InvalidFile."""
    algorithm = str(config.get("quant_algo") or "").upper()
    formats = {
        "FP8": NumberFormat.FP8,
        "FP8_PER_CHANNEL_PER_TOKEN": NumberFormat.FP8,
        "NVFP4": NumberFormat.NVFP4,
        "NVFP4_AWQ": NumberFormat.NVFP4,
        "MXFP8": NumberFormat.MXFP8,
        "MIXED_PRECISION": None,
    }
    if algorithm not in formats:
        raise InvalidFile(
            file,
            "quantization.quant_algo",
            f"{algorithm[:40]!r} is not supported",
            allowed=", ".join(formats),
        )
    number = formats[algorithm]
    kv = str(config.get("kv_cache_quant_algo") or "").upper()
    dynamic = algorithm in {"FP8_PER_CHANNEL_PER_TOKEN", "MXFP8"}
    return Declaration(
        file=file,
        method="modelopt",
        layouts=frozenset({Layout.SCALED, Layout.PACKED_FP4}),
        formats=frozenset({number}) if number else frozenset(),
        activation=Precision(format=number) if number else None,
        activation_scaling=(ActivationScaling.DYNAMIC if dynamic else ActivationScaling.STATIC)
        if number
        else None,
        kv=Precision(format=NumberFormat.FP8 if kv == "FP8" else NumberFormat.NVFP4)
        if kv in {"FP8", "NVFP4"}
        else None,
        algorithm="awq" if algorithm.endswith("AWQ") else None,
    )
