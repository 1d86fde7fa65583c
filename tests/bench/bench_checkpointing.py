"""What gradient checkpointing saves and costs in a training step: memory by torch's allocator, and time.

Run with `python -m pytest tests/bench/bench_checkpointing.py -m bench -s`. The reference model is trained for whole steps
(forward, backward, AdamW with FP32 masters) while its linear layers round to 4 bits; with a teacher the step is that of
distillation. Kept activations grow with batch times sequence, weights and optimizer do not, and so the share does.
On CUDA a larger model is used too, of random weights: nothing here depends on their values.
"""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.worker]
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("torchao")

from worker.engines.loading import load_model, resolve_device  # noqa: E402
from worker.recipes import parse_recipe  # noqa: E402
from worker.reference import model_path  # noqa: E402
from worker.training.checkpointing import compare_checkpointing  # noqa: E402
from worker.training.fake_quantization import fake_quantize, prepare_config, quantizable_layers  # noqa: E402
from worker.training.loop import Steps  # noqa: E402
from worker.training.objectives import Distillation, NextToken  # noqa: E402
from worker.training.sequences import Sequences  # noqa: E402

LARGER = {
    "vocab_size": 32_000,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
}


def larger_model():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    with torch.device("cuda"):
        return LlamaForCausalLM(LlamaConfig(**LARGER)).to(torch.bfloat16)


def cases():
    """Each a name, a way to make the model, and batch and sequence of a step."""
    device = resolve_device("auto")

    def reference():
        return load_model(model_path(), device=device, dtype="bfloat16")

    yield "reference, 2 x 128", reference, 2, 128
    yield "reference, 8 x 256", reference, 8, 256
    if device.type == "cuda":
        yield "reference, 32 x 1024", reference, 32, 1024
        yield "1.1B random, 4 x 2048", larger_model, 4, 2048
        yield "1.1B random, 16 x 2048", larger_model, 16, 2048


def test_checkpointing(capsys: pytest.CaptureFixture[str]):
    recipe = parse_recipe("qat")
    config = prepare_config(recipe.torchao_config(), bits=4, activations=False)
    for name, make, batch, length in cases():
        for distilled in (False, True):
            teacher = make().requires_grad_(requires_grad=False).eval() if distilled else None
            model = make()
            fake_quantize(model, quantizable_layers(model, ()), config)
            ids = torch.randint(0, model.config.vocab_size, (batch, length + 1)).numpy()
            found = compare_checkpointing(
                model,
                Distillation(teacher) if teacher is not None else NextToken(),
                Sequences(train=ids, held_out=ids),
                Steps(steps=1, learning_rate=1e-4, batch=batch, sequence=length, seed=0),
                frozen=() if teacher is None else (teacher,),
                report=lambda share, message: None,
            )
            with capsys.disabled():
                print(f"\n{name:24} {'distillation' if distilled else 'QAT':13}", end="")
                if found.without is None:
                    print(
                        f"without: out of memory, with: {found.checkpointed.peak_allocator_bytes / 2**20:,.0f} MiB "
                        f"{found.checkpointed.seconds:.3f} s",
                        end="",
                    )
                    continue
                for word, cost in (("without", found.without), ("with", found.checkpointed)):
                    print(
                        f"{word} {cost.peak_allocator_bytes / 2**20:9,.1f} MiB {cost.seconds:7.3f} s   ",
                        end="",
                    )
                memory, extra = -100 * (found.memory_saved_share or 0), 100 * (found.extra_time_share or 0)
                print(f"memory {memory:+.1f} %, time {extra:+.1f} %", end="")
            assert found.without.peak_allocator_bytes > 0
            del model, teacher
    with capsys.disabled():
        print()
