from __future__ import annotations

import numpy as np
import pytest
import torch

from planner.domain.architecture import Architecture
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from worker.engines.compiled import CompiledEngine, rows_of
from worker.engines.kernels import Kernels, choose, compile_kernels, missing
from worker.engines.loading import load_model
from worker.engines.plain import plain
from worker.engines.projections import prepare_projections
from worker.engines.synthetic import synthetic_model
from worker.engines.transformers import TransformersEngine
from worker.measure.weights import count_weights
from worker.recipes import parse_recipe
from worker.reference import model_path

CPU = torch.device("cpu")
SHAPE = Architecture(
    hidden_size=128,
    layers=2,
    heads=6,
    kv_heads=2,
    head_dim=32,
    intermediate_size=256,
    vocab_size=512,
    max_context=256,
    model_type="qwen2",
    qkv_bias=True,
)


@pytest.fixture
def captured(monkeypatch):
    """Capture as for inductor, but execute what was captured: generating code would take half a minute."""
    compile_ = torch.compile
    monkeypatch.setattr(
        torch,
        "compile",
        lambda step, **options: compile_(step, backend="eager", dynamic=options.get("dynamic")),
    )


@pytest.mark.parametrize("thorough", [False, True])
def test_compiled_layers_give_the_same_tokens(captured, thorough):
    prompts = np.random.default_rng(1).integers(0, 4096, size=(2, 12))
    eager = TransformersEngine(load_model(model_path(), device=CPU, dtype="float32"))
    compiled = CompiledEngine(load_model(model_path(), device=CPU, dtype="float32"), thorough=thorough)
    assert compiled.runtime.mode == "compiled"
    expected = eager.generate(prompts, 8)
    for _ in range(2):  # the second run has a cache to write over
        found = compiled.generate(prompts, 8)
        assert np.array_equal(found.tokens, expected.tokens)
        assert len(found.seconds) == 8
        assert list(found.seconds) == sorted(found.seconds)
    one = prompts[:1, :7]
    assert np.array_equal(compiled.generate(one, 5).tokens, eager.generate(one, 5).tokens)
    assert compiled.compile_seconds > 0
    assert compiled.cache is not None
    text = compiled.model.config
    width = text.hidden_size // text.num_attention_heads
    assert compiled.cache.bytes == text.num_hidden_layers * 2 * text.num_key_value_heads * width * 12 * 4


def test_joined_projections_compute_what_the_single_ones_did():
    model = load_model(model_path(), device=CPU)
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        before = model(input_ids=ids).logits
        used = prepare_projections(model, Kernels.TORCHAO)
        assert torch.equal(model(input_ids=ids).logits, before)
    layers = model.config.num_hidden_layers
    assert used == {"torch": 4 * layers + 1}


def test_more_than_the_context_is_refused(captured, base):
    engine = CompiledEngine.load(base, device=CPU)
    with pytest.raises(InvalidInput, match="at most 256 tokens of context"):
        engine.generate(np.ones((1, 250), dtype=np.int64), 7)


def test_humming_is_refused_where_it_cannot_run():
    assert missing(CPU) == "it needs a CUDA device"
    assert choose(Kernels.AUTO, CPU) is Kernels.TORCHAO
    with pytest.raises(InvalidInput, match="kernels: `humming` cannot run here: it needs a CUDA device"):
        choose(Kernels.HUMMING, CPU)


@pytest.mark.parametrize(
    ("recipe", "activation"),
    [
        ("int8_weight_only", "none"),
        ("int8_dynamic", "int8"),
        ("fp8_weight_only", "none"),
        ("fp8_dynamic", "fp8"),
        ("intx_weight_only", "none"),
    ],
)
def test_plain_terms_stand_for_the_weight(recipe, activation):
    model = synthetic_model(SHAPE, parse_recipe(recipe), device=CPU, layers=1)
    layer = model.model.layers[0].mlp.down_proj
    found = plain(layer)
    assert found is not None
    assert found.activation == activation
    values = found.values.float()
    if not found.is_float:
        values = values - 2 ** (found.bits - 1)
    group = found.group_size or values.shape[1]
    weight = values * found.scales.float().repeat_interleave(group, dim=1)
    inputs = torch.randn(3, 256, dtype=torch.bfloat16)
    with torch.inference_mode():
        wanted = layer(inputs).float()
    # What quantizes activations too is off by their rounding.
    tolerance = 0.01 if activation == "none" else 0.06
    assert ((inputs.float() @ weight.T - wanted).norm() / wanted.norm()).item() < tolerance


def test_packed_integers_are_plain_before_they_settle(captured):
    from worker.engines.formats.packed_linear import PackedLinear

    recipe = parse_recipe("int4_packed", {"group_size": 64})
    model = synthetic_model(SHAPE, recipe, device=CPU, layers=1)
    layer = model.model.layers[0].mlp.down_proj
    assert isinstance(layer, PackedLinear)
    found = plain(layer)
    assert found is not None
    assert found.zeros is not None
    expected = layer.integers.dequantize()
    spread = found.zeros.float().repeat_interleave(64, dim=1)
    assert torch.equal(
        (found.values.float() - spread) * found.scales.float().repeat_interleave(64, dim=1), expected
    )


def test_a_synthetic_model_has_the_shape_and_is_repeatable():
    recipe = parse_recipe("bf16")
    model = synthetic_model(SHAPE, recipe, device=CPU)
    assert count_weights(model).parameters == SHAPE.parameters
    again = synthetic_model(SHAPE, recipe, device=CPU)
    for first, second in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(first, second)
    ids = torch.arange(16)[None]
    with torch.inference_mode():
        assert bool(torch.isfinite(model(input_ids=ids).logits).all())


def test_a_shape_or_recipe_without_synthetic_form_is_refused():
    import msgspec

    with pytest.raises(InvalidInput, match="model"):
        synthetic_model(msgspec.structs.replace(SHAPE, model_type="gemma2"), parse_recipe("bf16"), device=CPU)
    with pytest.raises(InvalidInput, match="recipe: `qat` cannot be applied"):
        synthetic_model(SHAPE, parse_recipe("qat"), device=CPU)


def test_an_architecture_without_alike_layers_is_refused():
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=32, vocab_size=64))
    with pytest.raises(InvalidInput, match="mode: `compiled` cannot run GPT2LMHeadModel"):
        CompiledEngine(model)


def test_where_no_layer_needs_the_kernel_library_it_need_not_be_there():
    compile_kernels((), (1, 4))


def test_rows_are_whole_prompts_and_single_steps():
    points = [Workload(input_tokens=100, output_tokens=8, concurrency=4), Workload(input_tokens=7)]
    assert rows_of(points) == (1, 4, 7, 400)
