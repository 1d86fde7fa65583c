"""Weight bytes predicted from headers against the bytes a loaded model really holds, parameters and buffers.

Run with `python -m pytest tests/bench/bench_weights.py -m bench -s`. The model is a random Llama of 19 million parameters; what
separates prediction and truth are buffers that are computed and not stored, such as rotary frequencies.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.artifacts.inspection import inspect
from planner.artifacts.manifest import scan
from tests.artifacts import loaded

pytestmark = [pytest.mark.bench, pytest.mark.worker]
pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("torchao")

SIZES = {
    "hidden_size": 384,
    "intermediate_size": 1024,
    "num_hidden_layers": 8,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 8192,
    "max_position_embeddings": 1024,
}


def test_weight_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    plain = loaded.save_llama(tmp_path / "bf16", sizes=SIZES)
    folders = {
        "fp32": loaded.save_llama(tmp_path / "fp32", sizes=SIZES, dtype="float32"),
        "bf16": plain,
        "bf16, tied embeddings": loaded.save_llama(tmp_path / "tied", sizes=SIZES, tied=True),
        "bf16, sharded": loaded.save_llama(tmp_path / "sharded", sizes=SIZES, shard_size="10MB"),
    }
    for name, recipe in loaded.recipes().items():
        folders[name] = loaded.quantize(plain, tmp_path / name, recipe)
    errors: list[float] = []
    lines: list[str] = []
    for name, folder in folders.items():
        found = inspect({artifact.path: folder / artifact.path for artifact in scan(folder)})
        model = loaded.load(folder)
        held, parameters = loaded.held_bytes(model, buffers=True), loaded.held_bytes(model, buffers=False)
        error = found.weight_bytes / held - 1
        errors.append(abs(error))
        lines.append(
            f"{name:32} {found.scheme.name:24} {found.weight_bytes:>12,} predicted {held:>12,} held "
            f"{100 * error:+.4f} %   parameters alone {100 * (found.weight_bytes / parameters - 1):+.4f} %   "
            f"{found.effective_bits:.3f} bits"
        )
    with capsys.disabled():
        print("\n" + "\n".join(lines))
        mean, worst = 100 * sum(errors) / len(errors), 100 * max(errors)
        print(f"{len(errors)} variants: mean absolute error {mean:.4f} %, worst {worst:.4f} %")
    assert max(errors) < 0.005
