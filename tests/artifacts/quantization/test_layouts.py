from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from planner.artifacts.inspection import inspect
from planner.domain.scheme import ActivationScaling, NumberFormat
from planner.errors import InvalidFile
from tests.artifacts import writers
from tests.artifacts.writers import LINEAR, PARAMETERS, compressed, config, llama, nbytes, quantizer, write

GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 64, "sym": True, "desc_act": False}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True, "version": "gemm"}
NF4 = {
    "quant_method": "bitsandbytes",
    "load_in_4bit": True,
    "load_in_8bit": False,
    "bnb_4bit_quant_type": "nf4",
}
INT8_BNB = {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": True}
FP8_BLOCKS = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
W4A16 = compressed(quantizer(4, group_size=64, strategy="group"), format="pack-quantized")
W8A8 = compressed(
    quantizer(8, strategy="channel"), quantizer(8, dynamic=True, strategy="token"), format="int-quantized"
)
W8A8_STATIC = compressed(quantizer(8), quantizer(8, dynamic=False, strategy="tensor"), format="int-quantized")
FP8_DYNAMIC = compressed(quantizer(8, "float"), quantizer(8, "float", dynamic=True), format="float-quantized")
NVFP4 = compressed(
    quantizer(4, "float", group_size=16),
    quantizer(4, "float", group_size=16, dynamic="local"),
    format="nvfp4-pack-quantized",
)
MXFP4 = compressed(quantizer(4, "float", group_size=32), format="mxfp4-pack-quantized")
MXFP8 = compressed(quantizer(8, "float", group_size=32), format="mxfp8-quantized")
KV = {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "tensor", "dynamic": False}

Case = tuple[str, Any, dict[str, Any], str, NumberFormat, int | None, str | None]
CASES: list[Case] = [
    ("gptq", writers.gptq(), GPTQ, "int4-g64", NumberFormat.INT4, 64, "gptq"),
    ("gptq-8", writers.gptq(8, 32), {**GPTQ, "bits": 8, "group_size": 32}, "int8-g32", NumberFormat.INT8, 32, "gptq"),
    ("gptq-3", writers.gptq(3, 32), {**GPTQ, "bits": 3, "group_size": 32}, "int3-g32", NumberFormat.INT3, 32, "gptq"),
    ("gptq-row", writers.gptq(4, -1), {**GPTQ, "group_size": -1}, "int4", NumberFormat.INT4, None, "gptq"),
    ("gptq-ragged", writers.gptq(4, 96), {**GPTQ, "group_size": 96}, "int4-g96", NumberFormat.INT4, 96, "gptq"),
    ("auto-round", writers.gptq(), {**GPTQ, "quant_method": "auto-round"}, "int4-g64", NumberFormat.INT4, 64, "autoround"),
    ("awq", writers.awq(), AWQ, "int4-g64", NumberFormat.INT4, 64, "awq"),
    ("nf4", writers.bnb_4bit(), NF4, "nf4-g64", NumberFormat.NF4, 64, "rtn"),
    ("nf4-nested", writers.bnb_4bit(nested=True), NF4, "nf4-g64", NumberFormat.NF4, 64, "rtn"),
    ("fp4", writers.bnb_4bit(kind="fp4"), {**NF4, "bnb_4bit_quant_type": "fp4"}, "fp4-g64", NumberFormat.FP4, 64, "rtn"),
    ("llm.int8", writers.bnb_8bit, INT8_BNB, "int8-dynamic", NumberFormat.INT8, None, "rtn"),
    ("w4a16", writers.compressed_int(), W4A16, "int4-g64", NumberFormat.INT4, 64, None),
    ("w4a16-asym", writers.compressed_int(symmetric=False), W4A16, "int4-g64", NumberFormat.INT4, 64, None),
    ("w8a16", writers.compressed_int(8), compressed(quantizer(8, group_size=64)), "int8-g64", NumberFormat.INT8, 64, None),
    ("w8a8", writers.scaled("I8"), W8A8, "int8-dynamic", NumberFormat.INT8, None, None),
    ("w8a8-static", writers.scaled("I8", static=True), W8A8_STATIC, "int8-static", NumberFormat.INT8, None, None),
    ("fp8-dynamic", writers.scaled("F8_E4M3"), FP8_DYNAMIC, "fp8-dynamic", NumberFormat.FP8, None, None),
    ("fbgemm", writers.scaled("F8_E4M3", scale="F32"), {"quant_method": "fbgemm_fp8"}, "fp8-dynamic", NumberFormat.FP8, None, "rtn"),
    ("fp8-blocks", writers.fp8_blocks, FP8_BLOCKS, "fp8-dynamic", NumberFormat.FP8, None, "rtn"),
    ("nvfp4", writers.nvfp4(modelopt=False), NVFP4, "nvfp4-dynamic", NumberFormat.NVFP4, None, None),
    ("nvfp4-modelopt", writers.nvfp4(modelopt=True), {"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4-static", NumberFormat.NVFP4, None, None),
    ("mxfp4", writers.mxfp4_packed, MXFP4, "mxfp4", NumberFormat.MXFP4, None, None),
    ("mxfp8", writers.mxfp8, MXFP8, "mxfp8", NumberFormat.MXFP8, None, None),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_every_method_is_read_exactly(tmp_path: Path, case: Case):
    _, linear, quantization, name, number, group, method = case
    tensors = llama(linear)
    found = inspect(write(tmp_path, tensors, config(quantization)))
    assert found.scheme.name == name
    assert found.scheme.weight.format is number
    assert found.scheme.weight.group_size == group
    assert found.scheme.method == method
    assert not found.scheme.mixed
    assert found.parameters == PARAMETERS  # packed integers count as the integers in them, scales do not
    assert found.architecture is not None
    assert found.architecture.parameters == PARAMETERS
    assert found.weight_bytes == sum(nbytes(tensor[0], tensor[1]) for tensor in tensors.values())
    assert found.effective_bits == pytest.approx(8 * found.weight_bytes / PARAMETERS)
    assert sum(found.formats.values()) == found.weight_bytes
    assert found.tensors == len(tensors)
    assert found.warnings == ()


def test_bits_of_a_linear_layer_are_the_arithmetic_of_the_layout(tmp_path: Path):
    def bits(linear: Any, quantization: dict[str, Any]) -> float:
        found = inspect(write(tmp_path, llama(linear), config(quantization)))
        return (found.weight_bytes - 2 * (PARAMETERS - LINEAR)) * 8 / LINEAR

    index = 32 * sum(shape[1] for shape in writers.LINEAR_SHAPES.values()) * 2 / LINEAR
    assert bits(writers.gptq(), GPTQ) == pytest.approx(4 + 16 / 64 + 4 / 64 + index)
    assert bits(writers.awq(), AWQ) == pytest.approx(4 + 16 / 64 + 4 / 64)
    assert bits(writers.mxfp4_packed, MXFP4) == pytest.approx(4.25)
    assert bits(
        writers.nvfp4(modelopt=True), {"quant_method": "modelopt", "quant_algo": "NVFP4"}
    ) == pytest.approx(4.5, abs=0.01)


def test_activations_and_cache_come_from_the_configuration(tmp_path: Path):
    quantization = {**W8A8_STATIC, "kv_cache_scheme": KV}
    scheme = inspect(write(tmp_path, llama(writers.scaled("I8", static=True)), config(quantization))).scheme
    assert scheme.activation is not None
    assert scheme.activation.format is NumberFormat.INT8
    assert scheme.activation_scaling is ActivationScaling.STATIC
    assert scheme.kv is not None
    assert scheme.kv.format is NumberFormat.FP8
    assert inspect(write(tmp_path, llama(writers.awq()), config(AWQ))).scheme.weight.symmetric is False


def test_expert_blocks_of_mxfp4(tmp_path: Path):
    tensors = llama(writers.plain)
    for layer in range(2):
        experts = f"model.layers.{layer}.mlp.experts."
        tensors[f"{experts}gate_up_proj_blocks"] = ("U8", (32, 512, 4, 16))
        tensors[f"{experts}gate_up_proj_scales"] = ("U8", (32, 512, 4))
        tensors[f"{experts}gate_up_proj_bias"] = ("BF16", (32, 512))
    found = inspect(write(tmp_path, tensors, config({"quant_method": "mxfp4"}, model_type="unheard-of")))
    assert found.scheme.weight.format is NumberFormat.MXFP4
    assert found.parameters == PARAMETERS + 2 * 32 * 512 * (4 * 32 + 1)
    assert found.scheme.mixed  # the dense projections are a share of more than 1 %


def test_modelopt_sidecar(tmp_path: Path):
    files = write(tmp_path, llama(writers.nvfp4(modelopt=True)), config())
    files["hf_quant_config.json"] = tmp_path / "hf_quant_config.json"
    files["hf_quant_config.json"].write_text(
        '{"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}}'
    )
    scheme = inspect(files).scheme
    assert (scheme.name, scheme.kv and scheme.kv.format) == ("nvfp4-static-kv-fp8", NumberFormat.FP8)


def test_mixed_precision_is_named_and_shown(tmp_path: Path):
    def linear(module: str, shape: tuple[int, int]) -> writers.Tensors:
        return writers.plain(module, shape) if "o_proj" in module else writers.compressed_int()(module, shape)

    found = inspect(write(tmp_path, llama(linear), config(W4A16)))
    assert found.scheme.mixed
    assert found.scheme.name == "int4-g64-mixed"
    assert "bf16" in found.warnings[0]


@pytest.mark.parametrize(
    ("linear", "quantization", "message"),
    [
        (writers.plain, GPTQ, "quantization was not applied"),
        (writers.plain, NF4, "quantization was not applied"),
        (writers.plain, W4A16, "int4.*stored as BF16.*not applied"),
        (writers.plain, {"quant_method": "torchao", "quant_type": {"default": {"_type": "Int8WeightOnlyConfig", "_data": {}}}}, "int8.*not applied"),
        (writers.awq(), GPTQ, "declares gptq.*stored as awq"),
        (writers.gptq(8, 64), GPTQ, "declares int4.*stored as int8"),
        (writers.gptq(4, 32), GPTQ, "declares 64, but the scales are for 32"),
        (writers.scaled("I8"), W8A8_STATIC, "no input_scale"),
        (writers.fp8_blocks, {**FP8_BLOCKS, "activation_scheme": "static"}, "no input_scale"),
        (writers.scaled("F8_E4M3"), W8A8, "declares int8.*stored as fp8"),
        (writers.gptq(), {**GPTQ, "bits": 5.5}, "bits.*not a bit width"),
        (writers.gptq(), {**GPTQ, "group_size": 0}, "not a group size"),
        (writers.gptq(), {"quant_method": "magic"}, "'magic' is not supported; allowed: auto-round, awq"),
        (writers.gptq(), {}, "quant_method.*not supported"),
        (writers.bnb_4bit(), {**NF4, "bnb_4bit_quant_type": "nf5"}, "'nf5' is unknown"),
        (writers.compressed_int(), compressed({"type": "int"}), "no num_bits"),
        (writers.compressed_int(), {"quant_method": "compressed-tensors"}, "config_groups.*is missing"),
        (writers.compressed_int(), {**W4A16, "sparsity_config": {"format": "marlin-24"}}, "sparsity_config.format"),
        (writers.gptq(), None, "is missing, but .* is stored as gptq"),
        (writers.bnb_8bit, None, "is missing, but .* bitsandbytes 8-bit"),
    ],
)  # fmt: skip
def test_a_configuration_that_contradicts_the_tensors_is_refused(
    tmp_path: Path, linear: Any, quantization: dict[str, Any] | None, message: str
):
    with pytest.raises(InvalidFile, match=message) as caught:
        inspect(write(tmp_path, llama(linear), config(quantization)))
    assert caught.value.details["path"] == "config.json"
    assert "quantization_config" in caught.value.details["field"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model.layers.0.self_attn.q_proj.qzeros": None}, "no scales or qzeros"),
        ({"model.layers.0.self_attn.q_proj.scales": ("F16", (2, 96))}, "does not fit"),
        ({"model.layers.0.self_attn.q_proj.g_idx": ("I32", (127,))}, "does not fit"),
        ({"model.layers.0.self_attn.q_proj.qweight": ("I32", (15, 128))}, "does not fit"),
        ({"model.layers.0.self_attn.q_proj.qweight": ("F32", (16, 128))}, "allowed: I32"),
        ({"model.extra.weight": ("U32", (8, 8))}, "belongs to no known layout"),
        ({"model.extra.weight": ("I8", (8, 8))}, "without the scales"),
    ],
)
def test_tensors_that_contradict_each_other_are_refused(tmp_path: Path, change: dict[str, Any], message: str):
    tensors = {
        name: tensor for name, tensor in {**llama(writers.gptq()), **change}.items() if tensor is not None
    }
    with pytest.raises(InvalidFile, match=message):
        inspect(write(tmp_path, tensors, config(GPTQ)))


def test_a_quantization_state_that_lies_is_refused(tmp_path: Path):
    for state in (
        b'{"shape": [1000000000, 1000000000], "blocksize": 64}',
        b'{"shape": "x"}',
        b"[]",
        b"\xff",
        b'{"a":1,"a":2}',
    ):
        tensors = llama(writers.bnb_4bit())
        name = "model.layers.0.self_attn.q_proj.weight.quant_state.bitsandbytes__nf4"
        tensors[name] = ("U8", (len(state),), state)
        with pytest.raises(InvalidFile):
            inspect(write(tmp_path, tensors, config(NF4)))


def test_plain_cast_to_fp8_needs_no_declaration(tmp_path: Path):
    found = inspect(
        write(tmp_path, llama(lambda module, shape: {f"{module}.weight": ("F8_E4M3", shape)}), config())
    )
    assert found.scheme.name == "fp8"
    assert found.parameters == PARAMETERS


def test_three_bit_packing_with_padded_words(tmp_path: Path):
    quantization = compressed(quantizer(3, group_size=64))
    found = inspect(write(tmp_path, llama(writers.compressed_int(3)), config(quantization)))
    assert found.scheme.weight.format is NumberFormat.INT3
    assert found.parameters == PARAMETERS
