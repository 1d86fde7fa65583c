"""A data folder with the built-in catalogue, and a small real variant to register."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from planner.cli.main import main

HIDDEN, LAYERS, HEADS, WIDTH, VOCAB = 64, 2, 4, 128, 256


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables as wide as where there is no terminal; test runners state a width of their own."""
    monkeypatch.setenv("COLUMNS", "160")


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, array in tensors.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    path.write_bytes(
        struct.pack("<Q", len(encoded)) + encoded + b"".join(a.tobytes() for a in tensors.values())
    )


def make_llama(directory: Path, *, seed: int = 0) -> Path:
    """Write a tiny Llama in FP32 as transformers lays it out."""
    rng = np.random.default_rng(seed)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "intermediate_size": WIDTH,
        "vocab_size": VOCAB,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
    }
    shapes = {"model.embed_tokens.weight": (VOCAB, HIDDEN), "model.norm.weight": (HIDDEN,)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}"
        shapes |= {f"{prefix}.self_attn.{p}_proj.weight": (HIDDEN, HIDDEN) for p in "qkvo"}
        shapes |= {f"{prefix}.mlp.{p}_proj.weight": (WIDTH, HIDDEN) for p in ("gate", "up")}
        shapes[f"{prefix}.mlp.down_proj.weight"] = (HIDDEN, WIDTH)
        shapes |= {f"{prefix}.{n}_layernorm.weight": (HIDDEN,) for n in ("input", "post_attention")}
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    write_safetensors(
        directory / "model.safetensors",
        {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()},
    )
    return directory


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that is opened, migrated and filled once."""
    folder = tmp_path_factory.mktemp("data")
    assert main(["devices", "--data-dir", str(folder), "--limit", "1"]) == 0
    return folder


@pytest.fixture
def run(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a verb in the data folder; returns exit code, stdout and stderr."""
    capsys.readouterr()

    def call(verb: str, *arguments: str) -> tuple[int, str, str]:
        code = main([verb, *arguments, "--data-dir", str(data_dir)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
