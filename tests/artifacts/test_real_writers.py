from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planner.artifacts.headers.safetensors import read_safetensors
from planner.artifacts.inspection import Inspection, inspect
from planner.artifacts.manifest import scan
from planner.artifacts.quantization.torchao import subclasses, torchao_weight
from planner.domain.scheme import ActivationScaling, NumberFormat
from planner.errors import InvalidFile
from tests.artifacts import loaded, writers

pytestmark = pytest.mark.worker
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("torchao")


def look(folder: Path) -> Inspection:
    return inspect({artifact.path: folder / artifact.path for artifact in scan(folder)})


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return loaded.save_llama(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def recipes() -> dict[str, Any]:
    return loaded.recipes()


@pytest.mark.parametrize(
    ("dtype", "number"), [("bfloat16", "bf16"), ("float32", "fp32"), ("float16", "fp16")]
)
@pytest.mark.parametrize("tied", [False, True])
def test_plain_models(tmp_path: Path, dtype: str, number: str, tied: bool):
    found = look(loaded.save_llama(tmp_path, dtype=dtype, tied=tied))
    model = loaded.load(tmp_path)
    assert found.scheme.name == number
    assert found.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert found.weight_bytes == loaded.held_bytes(model, buffers=False)
    assert found.architecture is not None
    assert found.architecture.parameters == found.parameters
    assert found.architecture.tied_embeddings is tied
    assert found.warnings == ()


def test_sharded_model(tmp_path: Path):
    found = look(loaded.save_llama(tmp_path, shard_size="200KB"))
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert found.parameters == writers.PARAMETERS
    assert found.warnings == ()
    next(tmp_path.glob("model-00002-*.safetensors")).unlink()
    with pytest.raises(InvalidFile, match="missing"):
        look(tmp_path)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("int8 weight-only", ("int8", "I8")),
        ("int8 weight-only, groups of 64", ("int8-g64", "I8")),
        ("int8 dynamic", ("int8-dynamic", "I8")),
        ("intx4, groups of 32", ("int4-g32", "I8")),
        ("int8 dynamic x intx4", ("int4-a-int8-dynamic-g32", "I8")),
        ("fp8 weight-only", ("fp8", "F8_E4M3")),
        ("mix of int8 and intx4", ("int4-g32-mixed", "I8")),
    ],
)
def test_torchao_models(
    tmp_path: Path, plain: Path, recipes: dict[str, Any], recipe: str, expected: tuple[str, str]
):
    name, container = expected
    found = look(loaded.quantize(plain, tmp_path, recipes[recipe]))
    assert found.scheme.name == name
    assert found.scheme.method == "rtn"
    assert found.parameters == writers.PARAMETERS
    assert found.formats[container] >= writers.LINEAR
    assert found.weight_bytes == loaded.held_bytes(loaded.load(tmp_path), buffers=False)
    if "dynamic" in recipe:
        assert found.scheme.activation is not None
        assert found.scheme.activation.format is NumberFormat.INT8
        assert found.scheme.activation_scaling is ActivationScaling.DYNAMIC


def test_four_bits_in_a_byte_each_show_both_truths(tmp_path: Path, plain: Path, recipes: dict[str, Any]):
    found = look(loaded.quantize(plain, tmp_path, recipes["intx4, groups of 32"]))
    assert found.scheme.nominal_bits == 4
    linear = found.weight_bytes - 2 * (writers.PARAMETERS - writers.LINEAR)
    assert 8 * linear / writers.LINEAR == pytest.approx(
        8 + (16 + 8) / 32
    )  # int8, with scale and zero point per 32
    assert "unpacked or padded" in found.warnings[0]


def test_nvfp4_of_torchao(tmp_path: Path, plain: Path):
    workflow = pytest.importorskip("torchao.prototype.mx_formats.inference_workflow")
    found = look(loaded.quantize(plain, tmp_path, workflow.NVFP4WeightOnlyConfig()))
    assert found.scheme.name == "nvfp4"
    assert found.parameters == writers.PARAMETERS
    assert found.weight_bytes == loaded.held_bytes(loaded.load(tmp_path), buffers=False)


def test_torchao_model_in_shards(tmp_path: Path, plain: Path, recipes: dict[str, Any]):
    found = look(loaded.quantize(plain, tmp_path, recipes["int8 weight-only"], shard_size="100KB"))
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert (found.scheme.name, found.parameters) == ("int8", writers.PARAMETERS)


def test_packings_that_need_a_gpu_to_compute(tmp_path: Path):
    """Their classes can be filled and written without kernels, which is enough for the layout."""
    quantization = pytest.importorskip("torchao.quantization")
    support = pytest.importorskip("torchao.prototype.safetensors.safetensors_support")
    mx = pytest.importorskip("torchao.prototype.mx_formats.mx_tensor")
    from safetensors.torch import save_file

    def packed(dtype: Any, *shape: int) -> Any:
        return torch.zeros(*shape, dtype=dtype)

    size, scales = torch.Size([128, 1024]), (16, 128)
    half = torch.bfloat16
    weights = {
        "a.weight": quantization.Int4Tensor(
            packed(torch.int8, 128, 512), packed(half, *scales), packed(half, *scales), [1, 64], size
        ),
        "b.weight": quantization.Int4PlainInt32Tensor(
            packed(torch.int32, 128, 128), packed(half, *scales), packed(torch.int8, *scales), [1, 64], size
        ),
        "c.weight": quantization.Int4TilePackedTo4dTensor(  # rows of 384 are padded to 1024
            packed(torch.int32, 16, 8, 32, 4), packed(half, *scales, 2), [1, 64], torch.Size([128, 384])
        ),
        "d.weight": mx.MXTensor.to_mx(packed(half, 128, 1024), torch.float8_e4m3fn, 32),
        "e.weight": mx.MXTensor.to_mx(packed(half, 128, 1024), torch.float4_e2m1fn_x2, 32),
    }
    tensors, metadata = support.flatten_tensor_state_dict(weights)
    path = tmp_path / "model.safetensors"
    save_file(tensors, path, metadata=metadata)
    header = read_safetensors(path, "model.safetensors")
    by_name = {tensor.name: tensor for tensor in header.tensors}
    found = {}
    for subclass in subclasses(header.metadata, "model.safetensors"):
        recognised = torchao_weight(subclass, by_name)
        assert recognised is not None
        weight = recognised[0]
        assert weight.precision is not None
        found[weight.name] = (weight.precision.format.value, weight.precision.group_size, weight.parameters)
        assert weight.nbytes == sum(part.nbytes for part in recognised[1])
    assert found == {
        "a.weight": ("int4", 64, 128 * 1024),
        "b.weight": ("int4", 64, 128 * 1024),
        "c.weight": ("int4", 64, 128 * 384),
        "d.weight": ("mxfp8", None, 128 * 1024),
        "e.weight": ("mxfp4", None, 128 * 1024),
    }
    bits = inspect({"model.safetensors": path})
    assert not any("one per byte" in warning for warning in bits.warnings)


def test_quantization_that_was_announced_but_not_applied(
    tmp_path: Path, plain: Path, recipes: dict[str, Any]
):
    loaded.quantize(plain, tmp_path, recipes["int8 weight-only"])
    (tmp_path / "model.safetensors").write_bytes((plain / "model.safetensors").read_bytes())
    with pytest.raises(InvalidFile, match="declares torchao with int8, but every weight is stored as BF16"):
        look(tmp_path)


def test_another_recipe_than_announced(tmp_path: Path, plain: Path, recipes: dict[str, Any]):
    loaded.quantize(plain, tmp_path, recipes["intx4, groups of 32"])
    document = json.loads((tmp_path / "config.json").read_text())
    document["quantization_config"]["quant_type"]["default"]["_data"]["weight_dtype"]["_data"] = "int3"
    (tmp_path / "config.json").write_text(json.dumps(document))
    with pytest.raises(InvalidFile, match=r"declares int3, but .* is stored as int4"):
        look(tmp_path)


def test_metadata_that_lies_about_subclasses(tmp_path: Path, plain: Path, recipes: dict[str, Any]):
    loaded.quantize(plain, tmp_path, recipes["int8 weight-only"])
    path = tmp_path / "model.safetensors"
    content = path.read_bytes()
    for old, new, message in (
        (b"Int8Tensor", b"Int9Tensor", "tensor class 'Int9Tensor' is unknown"),
        (b'\\"scale\\"', b'\\"skale\\"', "describes tensors that are missing"),
        (b"block_size", b"block_sise", "block_size None is not possible"),
        (b'"tensor_names":"[', b'"tensor_names":"{', "__metadata__.tensor_names"),
    ):
        assert old in content
        path.write_bytes(content.replace(old, new))
        with pytest.raises(InvalidFile, match=message):
            look(tmp_path)


def test_our_test_writer_is_the_reference_writer(tmp_path: Path):
    """The layouts in writers.py are hand-made; the container around them must be the real one."""
    from safetensors import safe_open

    tensors = writers.llama(writers.bnb_4bit())
    path = tmp_path / "model.safetensors"
    path.write_bytes(writers.safetensors_bytes(tensors, {"format": "pt"}))
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert {name: tuple(file.get_slice(name).get_shape()) for name in tensors} == {
            name: tensor[1] for name, tensor in tensors.items()
        }
