from __future__ import annotations

import pytest
import torch

from worker.engines.loading import load_model
from worker.measure.weights import count_weights, inner_tensors, is_quantized

pytestmark = pytest.mark.worker
CPU = torch.device("cpu")


def test_a_tied_tensor_and_a_transient_buffer_do_not_count(base):
    model = load_model(base, device=CPU)
    weights = count_weights(model)
    expected = sum(tensor.numel() for tensor in model.parameters())
    assert weights.parameters == expected
    assert weights.total_bytes == 2 * expected
    assert weights.by_format == {"bfloat16": 2 * expected}
    assert weights.effective_bits == 16


def test_persistent_buffers_count():
    module = torch.nn.Linear(8, 4, bias=False)
    module.register_buffer("kept", torch.zeros(10, dtype=torch.int32))
    module.register_buffer("transient", torch.zeros(1000), persistent=False)
    assert count_weights(module).by_format == {"float32": 128, "int32": 40}


def test_a_quantized_weight_is_the_bytes_inside_it(built):
    model = load_model(built("int8_weight_only"), device=CPU)
    weight = model.model.layers[0].mlp.up_proj.weight
    assert is_quantized(weight)
    assert weight.dtype is torch.bfloat16  # what it says it is
    assert {inner.dtype for inner in inner_tensors(weight)} >= {torch.int8}
    formats = count_weights(model).by_format
    quantized = sum(
        layer.weight.numel()
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and name != "lm_head"
    )
    assert formats["int8"] >= quantized
