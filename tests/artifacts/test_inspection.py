from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.artifacts.inspection import inspect
from planner.domain.scheme import NumberFormat, Precision
from planner.domain.variant import FileFormat
from planner.errors import InvalidFile, InvalidInput
from tests.artifacts import writers
from tests.artifacts.writers import PARAMETERS, Tensors, config, llama, safetensors_bytes, write

INDEX = "model.safetensors.index.json"


def sharded(folder: Path, tensors: Tensors, *, total: int | None = None) -> dict[str, Path]:
    names = list(tensors)
    halves = [names[: len(names) // 2], names[len(names) // 2 :]]
    files: dict[str, Path] = {}
    weight_map = {}
    for number, half in enumerate(halves, 1):
        label = f"model-{number:05d}-of-00002.safetensors"
        (folder / label).write_bytes(safetensors_bytes({name: tensors[name] for name in half}))
        weight_map.update(dict.fromkeys(half, label))
        files[label] = folder / label
    size = sum(writers.nbytes(t[0], t[1]) for t in tensors.values()) if total is None else total
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps(config()))
    return {**files, INDEX: folder / INDEX, "config.json": folder / "config.json"}


def test_plain_model(tmp_path: Path):
    found = inspect(write(tmp_path, llama(writers.plain), config(), {"format": "pt"}))
    assert found.file_format is FileFormat.SAFETENSORS
    assert found.scheme.weight.format is NumberFormat.BF16
    assert found.scheme.is_reference
    assert (found.parameters, found.weight_bytes, found.effective_bits) == (PARAMETERS, 2 * PARAMETERS, 16.0)
    assert found.formats == {"BF16": 2 * PARAMETERS}
    assert found.architecture is not None
    assert found.architecture.layers == 2


def test_shards_with_an_index(tmp_path: Path):
    found = inspect(sharded(tmp_path, llama(writers.plain)))
    assert found.parameters == PARAMETERS
    assert found.warnings == ()


def test_a_wrong_total_in_the_index_is_a_warning(tmp_path: Path):
    assert "announces 5 bytes" in inspect(sharded(tmp_path, llama(writers.plain), total=5)).warnings[0]


def test_shards_without_an_index_must_be_complete(tmp_path: Path):
    files = sharded(tmp_path, llama(writers.plain))
    del files[INDEX]
    assert inspect(files).parameters == PARAMETERS
    del files["model-00002-of-00002.safetensors"]
    with pytest.raises(InvalidFile, match="shard 2 of 2 is missing"):
        inspect(files)


def test_missing_shard(tmp_path: Path):
    files = sharded(tmp_path, llama(writers.plain))
    del files["model-00002-of-00002.safetensors"]
    with pytest.raises(
        InvalidFile, match=r"index\.json: weight_map: 1 of its files are missing.*model-00002"
    ):
        inspect(files)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("lm_head.weight"), "lm_head.weight.*is not in .model.safetensors.index.json"),
        (lambda m: m.update(ghost="model-00001-of-00002.safetensors"), "weight_map.ghost: is not in"),
        (lambda m: m.update({"lm_head.weight": "model-00001-of-00002.safetensors"}), "is in `model-00002"),
        (lambda m: m.update(x="../../etc/passwd"), "something else than safetensors"),
        (lambda m: m.clear(), "weight_map: is missing"),
    ],
)
def test_an_index_that_does_not_match_the_shards(tmp_path: Path, change: Any, message: str):
    files = sharded(tmp_path, llama(writers.plain))
    document = json.loads(files[INDEX].read_text())
    change(document["weight_map"])
    files[INDEX].write_text(json.dumps(document))
    with pytest.raises(InvalidFile, match=message):
        inspect(files)


def test_the_same_tensor_in_two_shards(tmp_path: Path):
    files = sharded(tmp_path, llama(writers.plain))
    shutil.copy(files["model-00001-of-00002.safetensors"], files["model-00002-of-00002.safetensors"])
    with pytest.raises(InvalidFile, match=r"is also in `model-00001-of-00002\.safetensors`"):
        inspect(files)


def test_tied_embeddings_are_counted_once(tmp_path: Path):
    table = writers.VOCAB * writers.HIDDEN
    without = inspect(write(tmp_path, llama(writers.plain, head=False), config(tie_word_embeddings=True)))
    twice = inspect(write(tmp_path, llama(writers.plain), config(tie_word_embeddings=True)))
    assert without.parameters == twice.parameters == PARAMETERS - table
    assert without.weight_bytes == twice.weight_bytes
    assert "counted once" in twice.warnings[0]
    assert without.warnings == ()


def test_buffers_are_bytes_but_not_parameters(tmp_path: Path):
    tensors = llama(writers.plain)
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = ("F32", (16,))
    tensors["model.layers.0.self_attn.k_proj.k_scale"] = ("F32", (1,))
    found = inspect(write(tmp_path, tensors, config()))
    assert found.parameters == PARAMETERS
    assert found.weight_bytes == 2 * PARAMETERS + 4 * 17


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 3}, "num_hidden_layers: describes 3 layers, the tensors have 2"),
        ({"vocab_size": 321}, r"vocab_size: .*\[321, 128\].*\[320, 128\]"),
        ({"hidden_size": 256}, "vocab_size"),
        ({"intermediate_size": 512}, "weights are missing"),
        ({"num_hidden_layers": float("nan")}, "num_hidden_layers: nan is not a whole number"),
        ({"num_hidden_layers": 10**12}, "num_hidden_layers"),
        ({"vocab_size": -1}, "vocab_size"),
        ({"hidden_size": "128"}, "hidden_size: '128' is not a whole number"),
        ({"num_attention_heads": 0}, "config"),
        (
            {"num_experts": 2, "moe_intermediate_size": 8, "mlp_only_layers": 5},
            "mlp_only_layers: is not a list",
        ),
    ],
)
def test_a_configuration_of_another_model_is_refused(tmp_path: Path, changes: dict[str, Any], message: str):
    with pytest.raises(InvalidFile, match=message) as caught:
        inspect(write(tmp_path, llama(writers.plain), config(**changes)))
    assert caught.value.details["path"] == "config.json"


def test_extra_parameters_are_a_warning(tmp_path: Path):
    tensors = llama(writers.plain)
    tensors["model.layers.2.extra_head.weight"] = ("BF16", (8, 8))
    assert f"describes {PARAMETERS} parameters" in inspect(write(tmp_path, tensors, config())).warnings[0]


def test_without_a_configuration_the_architecture_is_unknown(tmp_path: Path):
    found = inspect(write(tmp_path, llama(writers.plain), None))
    assert found.architecture is None
    assert found.parameters == PARAMETERS
    assert "architecture is unknown" in found.warnings[0]


def test_a_network_described_in_other_words_keeps_its_bytes(tmp_path: Path):
    document = {"model_type": "another", "depth": 2, "width": 128, "n_head": 4, "vocab_size": 320}
    found = inspect(write(tmp_path, llama(writers.plain), document))
    assert found.architecture is None
    assert found.weight_bytes == 2 * PARAMETERS
    assert "num_hidden_layers is missing" in found.warnings[0]


def test_inference_settings_are_part_of_the_scheme(tmp_path: Path):
    declared = {"attention": {"name": "topk", "k": 16}, "kv_cache": {"format": "int8", "group_size": 64}}
    scheme = inspect(write(tmp_path, llama(writers.plain), config(inference=declared))).scheme
    assert scheme.name == "bf16-kv-int8-topk-16"
    assert scheme.kv == Precision(format=NumberFormat.INT8, group_size=64)


def test_inference_settings_that_are_not_understood_are_refused(tmp_path: Path):
    files = write(tmp_path, llama(writers.plain), config(inference={"attention": {"name": "x"}}))
    with pytest.raises(InvalidFile, match=r"config\.json: inference: is not understood"):
        inspect(files)


def test_model_card(tmp_path: Path):
    files = write(tmp_path, llama(writers.plain), config(_name_or_path="/home/somebody/secret"))
    files["README.md"] = tmp_path / "README.md"
    files["README.md"].write_text(
        "---\nlicense: apache-2.0 # really\nbase_model:\n- some/model-1.5b\ntags:\n- x\n---\n# T\n"
    )
    found = inspect(files)
    assert (found.license, found.base_model, found.name) == ("apache-2.0", "some/model-1.5b", None)
    files["README.md"].write_text(
        '---\nlicense: other\nlicense_name: my-own\nbase_model: ["a/b", "c/d"]\n---\n'
    )
    found = inspect(files)
    assert (found.license, found.base_model) == ("my-own", "a/b")


def test_which_file_is_the_model_must_be_clear(tmp_path: Path):
    files = write(tmp_path, llama(writers.plain), config())
    other = tmp_path / "consolidated.safetensors"
    shutil.copy(files["model.safetensors"], other)
    found = inspect({**files, "consolidated.safetensors": other})
    assert "consolidated.safetensors is not part of the model" in found.warnings[0]
    with pytest.raises(InvalidFile, match="one of 2 safetensors files"):
        inspect({"a.safetensors": other, "b.safetensors": other})
    with pytest.raises(InvalidFile, match="adapter"):
        inspect({"adapter_model.safetensors": other})
    with pytest.raises(InvalidInput, match="hold no weights"):
        inspect({"config.json": files["config.json"]})
    with pytest.raises(InvalidInput, match=r"artifact\.path"):
        inspect({"../model.safetensors": other})


def test_weights_of_two_formats(tmp_path: Path):
    files = write(tmp_path, llama(writers.plain), config())
    files["model.gguf"] = tmp_path / "model.gguf"
    files["model.gguf"].write_bytes(b"GGUF")
    with pytest.raises(InvalidFile, match="two formats"):
        inspect(files)


def test_strict_json(tmp_path: Path):
    files = write(tmp_path, llama(writers.plain), config())
    for text, message in (
        (b'{"vocab_size": 1, "vocab_size": 320}', "'vocab_size' appears twice"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b"[1]", "not a JSON object"),
        (b"{", "not JSON"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too long to read"),
        (b" " * 10_000_001, "larger than"),
    ):
        files["config.json"].write_bytes(text)
        with pytest.raises(InvalidFile, match=message):
            inspect(files)


def test_infinity_in_a_configuration_is_tolerated_where_it_does_not_matter(tmp_path: Path):
    found = inspect(write(tmp_path, llama(writers.plain), config(time_step_limit=[0.0, float("inf")])))
    assert found.parameters == PARAMETERS


SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@SETTINGS
@given(data=st.data())
def test_mutated_configurations_never_crash(tmp_path: Path, data: st.DataObject):
    quantization = data.draw(
        st.sampled_from(
            [
                (writers.gptq(), {"quant_method": "gptq", "bits": 4, "group_size": 64, "sym": True}),
                (
                    writers.bnb_4bit(),
                    {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
                ),
                (
                    writers.scaled("I8"),
                    writers.compressed(writers.quantizer(8), writers.quantizer(8, dynamic=True)),
                ),
                (
                    writers.plain,
                    {"quant_method": "torchao", "quant_type": {"default": {"_type": "Int8WeightOnlyConfig"}}},
                ),
            ]
        )
    )
    document = config(quantization[1])
    junk = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
        st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
    )  # fmt: skip
    holder = data.draw(st.sampled_from([document, document["quantization_config"]]))
    holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(junk)
    files = write(tmp_path, llama(quantization[0]), document)
    problem = None
    try:
        inspect(files)
    except InvalidFile as error:
        problem = error
    assert problem is None or problem.details["path"] == "config.json"


def test_very_many_tensors(tmp_path: Path):
    count = 30_000
    path = tmp_path / "model.safetensors"
    header = {
        f"model.layers.{i % 60}.mlp.experts.{i}.w.weight": {
            "dtype": "BF16",
            "shape": [1, 1],
            "data_offsets": [2 * i, 2 * i + 2],
        }
        for i in range(count)
    }
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(2 * count))
    assert inspect({"model.safetensors": path}).parameters == count
