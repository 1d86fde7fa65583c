from __future__ import annotations

import math

import pytest
import torch

from planner.artifacts.inspection import inspect
from planner.domain.job import FailureReason
from tests.worker.conftest import write_model
from worker.engines.loading import load_model, resolve_device
from worker.failure import JobFailed
from worker.measure.weights import count_weights
from worker.recipes import parse_recipe
from worker.recipes.build import build_variant

pytestmark = pytest.mark.worker

CPU = resolve_device("cpu")


@pytest.fixture
def library():
    pytest.importorskip("bitsandbytes")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "tiny-llama", hidden=64, intermediate=128)


def test_layers_without_whole_blocks_are_left_alone(library, tmp_path):
    odd = write_model(tmp_path / "odd", hidden=64, intermediate=96)
    construction, reload = build_variant(odd, tmp_path / "out", parse_recipe("nf4"))
    reasons = {skipped.reason: len(skipped.layers) for skipped in construction.coverage.skipped}
    assert reasons["input width 96 is not a multiple of 64"] == 2
    assert reload.bit_equal
    assert "48 is not a multiple of 32" in str(parse_recipe("nf4").refusal(64, 48))


def logits_of(directory):
    with torch.inference_mode():
        return load_model(directory, device=CPU)(torch.arange(64)[None]).logits.double()


def sqnr(reference, other):
    return 10 * math.log10(
        float(reference.pow(2).mean() / (reference - other).pow(2).mean().clamp(min=1e-30))
    )


@pytest.mark.parametrize("double_quantization", [True, False])
def test_a_variant_reloads_bit_equal_and_is_what_it_claims(library, base, tmp_path, double_quantization):
    recipe = parse_recipe("nf4", {"double_quantization": double_quantization})
    construction, reload = build_variant(base, tmp_path / "out", recipe)
    assert reload.bit_equal
    assert construction.coverage.by_type == {"Params4bit": 14, "Tensor": 1}
    found = inspect({path.name: path for path in (tmp_path / "out").iterdir()})
    assert found.scheme == recipe.scheme
    weights = count_weights(load_model(tmp_path / "out", device=CPU))
    assert weights.parameters == found.parameters == construction.weights.parameters
    # The file also holds each layer's description as text, and code books that memory shares.
    assert found.weight_bytes == pytest.approx(weights.total_bytes, rel=0.01)
    quantized = construction.coverage.quantized_parameters
    bits = (construction.weights.total_bytes - 2 * (weights.parameters - quantized)) * 8 / quantized
    assert (
        recipe.stored_bits <= bits < recipe.stored_bits + 2.0
    )  # code books of 64 to 1024 bytes in tiny layers


def test_saving_comes_before_the_first_pass(library, base, tmp_path, monkeypatch):
    """A pass before saving would leave other files than building does where it rearranges the weights for good."""
    build_variant(base, tmp_path / "ours", parse_recipe("nf4", {"double_quantization": False}))
    order = []
    kind = type(parse_recipe("nf4"))
    saved = kind.save

    def save(self, model, out):
        for _, layer in model.named_modules():
            layer.register_forward_hook(lambda *_: order.append("pass"))
        saved(self, model, out)
        order.append("saved")

    monkeypatch.setattr(kind, "save", save)
    build_variant(base, tmp_path / "again", parse_recipe("nf4", {"double_quantization": False}))
    assert order[0] == "saved"
    assert "pass" in order
    ours = (tmp_path / "ours" / "model.safetensors").read_bytes()
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == ours


def test_the_files_hold_the_model_and_not_its_rearranged_form(library, base, tmp_path):
    build_variant(base, tmp_path / "out", parse_recipe("nf4", {"double_quantization": False}))
    full, first, second = logits_of(base), logits_of(tmp_path / "out"), logits_of(tmp_path / "out")
    assert torch.equal(first, second)
    import bitsandbytes.functional as bnb

    reference = load_model(base, device=CPU)
    for layer in reference.modules():
        if isinstance(layer, torch.nn.Linear) and layer is not reference.lm_head:
            packed, state = bnb.quantize_4bit(layer.weight.data, quant_type="nf4", blocksize=64)
            layer.weight.data = bnb.dequantize_4bit(packed, state).to(torch.bfloat16)
    with torch.inference_mode():
        dequantized = reference(torch.arange(64)[None]).logits.double()
    # The loss is that of NF4 itself, whichever kernel multiplies.
    assert sqnr(full, first) == pytest.approx(sqnr(full, dequantized), abs=1.0)


def test_without_the_library_the_failure_says_how_to_get_it(base, tmp_path, monkeypatch):
    from worker import capabilities

    monkeypatch.setattr(capabilities, "installed_libraries", lambda: ("torchao",))
    with pytest.raises(JobFailed) as caught:
        build_variant(base, tmp_path / "out", parse_recipe("nf4"))
    assert caught.value.reason is FailureReason.KERNEL_UNSUPPORTED
    assert "library:bitsandbytes" in str(caught.value)
    assert "pip install 'variant-planner[nf4]'" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
