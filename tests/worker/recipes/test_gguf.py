from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.artifacts.inspection import inspect
from planner.artifacts.manifest import scan
from planner.domain.variant import manifest_digest
from planner.errors import InvalidFile, InvalidInput
from tests.worker.recipes import gguf_models
from worker.engines.formats.gguf_layout import interleave, separate
from worker.engines.formats.gguf_timing import refuse_timing
from worker.engines.loading import load_model, load_tokenizer
from worker.evaluate.dataset import read_dataset
from worker.evaluate.evaluation import evaluate
from worker.measure.weights import count_weights
from worker.recipes import parse_recipe
from worker.recipes.build import build_variant
from worker.recipes.gguf_export import stored_kind
from worker.recipes.gguf_vocabulary import pre_tokenizer_name
from worker.reference import evaluation_path, model_path

pytestmark = pytest.mark.worker
CPU = torch.device("cpu")
TYPES = ("f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1")
REQUIRED = (
    "general.architecture",
    "general.file_type",
    "general.quantization_version",
    "{}.block_count",
    "{}.context_length",
    "{}.embedding_length",
    "{}.feed_forward_length",
    "{}.attention.head_count",
    "{}.attention.head_count_kv",
    "{}.attention.layer_norm_rms_epsilon",
    "{}.rope.freq_base",
    "tokenizer.ggml.model",
    "tokenizer.ggml.pre",
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.merges",
    "tokenizer.ggml.bos_token_id",
    "tokenizer.ggml.eos_token_id",
)
"""What the specification (ggml-org/ggml, docs/gguf.md) and llama.cpp's loader ask of a language model."""


def only_file(directory: Path) -> Path:
    (path,) = directory.glob("*.gguf")
    return path


@pytest.mark.parametrize("kind", TYPES)
def test_the_file_is_complete_and_reloads_to_the_same_values(base, tmp_path, kind):
    recipe = parse_recipe("gguf", {"type": kind})
    construction, reload = build_variant(base, tmp_path / "out", recipe)
    assert reload.bit_equal
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"model-{kind}.gguf",
        "tokenizer.json",
        "tokenizer_config.json",
        "LICENSE.txt",
    }
    reader = gguf.GGUFReader(only_file(tmp_path / "out"))
    for key in REQUIRED:
        assert key.format("llama") in reader.fields
    found = inspect({path.name: path for path in (tmp_path / "out").iterdir()})
    assert found.scheme == recipe.scheme
    assert found.warnings == ()
    assert found.weight_bytes == construction.weights.total_bytes
    assert found.parameters == construction.weights.parameters
    assert found.weight_bytes == sum(int(tensor.n_bytes) for tensor in reader.tensors)
    reloaded = load_model(tmp_path / "out", device=CPU)
    assert count_weights(reloaded) == construction.weights
    assert reloaded.dtype is torch.float32
    assert load_tokenizer(tmp_path / "out")("def f").input_ids == load_tokenizer(base)("def f").input_ids


def test_building_twice_gives_the_same_digest(base, tmp_path):
    digests = set()
    for attempt in ("a", "b"):
        build_variant(base, tmp_path / attempt, parse_recipe("gguf", {"type": "q4_0"}))
        digests.add(manifest_digest(scan(tmp_path / attempt)))
    assert len(digests) == 1


@pytest.mark.parametrize("name", gguf_models.MODELS)
def test_sixteen_bits_keep_every_weight_of_every_architecture(tmp_path, name):
    base = gguf_models.write(tmp_path / "base", name)
    build_variant(base, tmp_path / "out", parse_recipe("gguf", {"type": "bf16"}))
    original, exported = (load_model(path, device=CPU, dtype="float32") for path in (base, tmp_path / "out"))
    stored = dict(exported.named_parameters())
    assert stored.keys() == dict(original.named_parameters()).keys()
    for key, weight in original.named_parameters():
        assert torch.equal(weight, stored[key]), key
    ids = torch.randint(0, 4096, (1, 200), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted, got = (model(input_ids=ids, use_cache=False).logits for model in (original, exported))
    torch.testing.assert_close(got, wanted, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("kind", ["q4_0"])
def test_transformers_own_reader_finds_the_same_weights(tmp_path, kind):
    from transformers import AutoModelForCausalLM

    build_variant(model_path(), tmp_path / "out", parse_recipe("gguf", {"type": kind}))
    ours = load_model(tmp_path / "out", device=CPU)
    theirs = AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", gguf_file=f"model-{kind}.gguf", dtype=torch.float32
    )
    for name, weight in theirs.named_parameters():
        assert torch.equal(weight, dict(ours.named_parameters())[name]), name


def test_below_eight_bits_the_head_is_finer_and_vectors_stay_at_32_bits(tmp_path):
    base = gguf_models.write(tmp_path / "base", "llama, own head")
    build_variant(base, tmp_path / "out", parse_recipe("gguf", {"type": "q4_0"}))
    kinds = {
        tensor.name: tensor.tensor_type.name
        for tensor in gguf.GGUFReader(only_file(tmp_path / "out")).tensors
    }
    assert kinds["output.weight"] == "Q8_0"
    assert kinds["token_embd.weight"] == "Q4_0"
    assert kinds["blk.1.ffn_down.weight"] == "Q4_0"
    assert kinds["blk.0.attn_norm.weight"] == "F32"


@pytest.mark.parametrize(
    ("name", "shape", "tied", "kind"),
    [
        ("token_embd.weight", (4096, 64), True, "Q8_0"),
        ("token_embd.weight", (4096, 64), False, "Q5_1"),
        ("output.weight", (4096, 64), False, "Q8_0"),
        ("blk.0.attn_q.weight", (64, 64), False, "Q5_1"),
        ("blk.0.attn_q.weight", (64, 48), False, "F16"),
        ("blk.0.attn_q.bias", (64,), False, "F32"),
    ],
)
def test_which_type_a_tensor_is_stored_in(name, shape, tied, kind):
    assert stored_kind(name, shape, gguf.GGMLQuantizationType.Q5_1, tied=tied).name == kind


def test_rows_that_no_block_divides_are_counted_with_the_reason(tmp_path):
    from tests.worker.conftest import write_model

    base = write_model(tmp_path / "base", intermediate=80)
    construction, reload = build_variant(base, tmp_path / "out", parse_recipe("gguf", {"type": "q8_0"}))
    assert reload.bit_equal
    skipped = {entry.reason: entry.layers for entry in construction.coverage.skipped}
    assert skipped["input width 80 is not a multiple of the block size 32: stored as F16"] == (
        "model.layers.0.mlp.down_proj",
        "model.layers.1.mlp.down_proj",
    )


def test_a_file_is_evaluated_against_its_base(tmp_path):
    build_variant(model_path(), tmp_path / "out", parse_recipe("gguf", {"type": "q8_0"}))
    evaluation = evaluate(
        tmp_path / "out",
        "variant",
        model_path(),
        "base",
        read_dataset(evaluation_path()).first(3),
        window=256,
        device="cpu",
    )
    assert evaluation.variant_id == "variant"
    assert evaluation.fidelity is not None
    assert evaluation.fidelity.kl_mean is not None
    assert 0 < evaluation.fidelity.kl_mean.value < 0.01


@settings(max_examples=30, deadline=None)
@given(heads=st.integers(1, 4), half=st.integers(1, 4), columns=st.integers(1, 3), bias=st.booleans())
def test_separating_undoes_interleaving(heads, half, columns, bias):
    shape = (heads * half * 2,) if bias else (heads * half * 2, columns)
    rows = np.arange(np.prod(shape)).reshape(shape)
    assert np.array_equal(separate(interleave(rows, heads), heads), rows)
    first = interleave(rows, heads)[: half * 2]
    assert np.array_equal(first[0::2], rows[:half])
    assert np.array_equal(first[1::2], rows[half : half * 2])


@pytest.mark.parametrize("kind", ["gpt-2", "smollm", "llama-bpe", "smaug-bpe", "qwen2"])
def test_pre_tokenizers_are_known_by_their_rules(kind):
    document = json.loads(gguf_models.train_tokenizer(kind).to_str())
    assert pre_tokenizer_name(document) == kind


@pytest.mark.parametrize(
    "pre",
    [
        None,
        {"type": "Whitespace"},
        {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True},
        {"type": "Sequence", "pretokenizers": []},
        {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": "x"}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        },
    ],
)
def test_rules_that_llama_cpp_has_no_name_for_are_refused(pre):
    with pytest.raises(InvalidFile, match=r"rules that llama.cpp has no name for"):
        pre_tokenizer_name({"pre_tokenizer": pre, "model": {"type": "BPE"}})


def test_a_folder_without_a_tokenizer_is_refused(base_copy, tmp_path):
    (base_copy / "tokenizer.json").unlink()
    with pytest.raises(InvalidFile, match=r"tokenizer\.json.*is missing"):
        build_variant(base_copy, tmp_path / "out", parse_recipe("gguf"))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("mistral", {"sliding_window": 128}, "sliding window"),
        ("llama", {"hidden_act": "gelu"}, "has the activation `gelu`"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
            "scales rotary positions by `dynamic`",
        ),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(tmp_path, name, changes, message):
    base = gguf_models.write(tmp_path / "base", name, **changes)
    with pytest.raises(InvalidInput, match=message):
        build_variant(base, tmp_path / "out", parse_recipe("gguf"))


def test_another_architecture_is_refused(tmp_path):
    from transformers import GemmaConfig, GemmaForCausalLM

    config = GemmaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        head_dim=16,
    )
    GemmaForCausalLM(config).save_pretrained(tmp_path / "gemma")
    with pytest.raises(InvalidInput, match=r"has the architecture `gemma`.*llama, mistral, qwen2, qwen3"):
        build_variant(tmp_path / "gemma", tmp_path / "out", parse_recipe("gguf"))


def test_a_gguf_file_is_no_base(tmp_path):
    build_variant(gguf_models.write(tmp_path / "base", "llama"), tmp_path / "out", parse_recipe("gguf"))
    with pytest.raises(InvalidInput, match="is quantized already"):
        build_variant(tmp_path / "out", tmp_path / "again", parse_recipe("bf16"))


def test_its_speed_is_not_measured_in_transformers(tmp_path, base):
    (tmp_path / "model.gguf").touch()
    with pytest.raises(InvalidInput, match=r"not llama.cpp's.*--endpoint"):
        refuse_timing(tmp_path)
    refuse_timing(base)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda data: data.replace(b"blk.1.attn_q.weight", b"blk.1.attn_x.weight"),
            "lack `blk.1.attn_q.weight`",
        ),
        (lambda data: data.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0falco"), "'falco'"),
        (lambda data: data[:-64], "model-f16.gguf"),
        (lambda data: b"GGML" + data[4:], "magic"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, change, message):
    build_variant(
        gguf_models.write(tmp_path / "base", "llama"), tmp_path / "out", parse_recipe("gguf", {"type": "f16"})
    )
    path = only_file(tmp_path / "out")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InvalidFile, match=message):
        load_model(tmp_path / "out", device=CPU)
