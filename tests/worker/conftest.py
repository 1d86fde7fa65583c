from __future__ import annotations

import os

# Before torch is imported, here and in every child: small products on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchao")

from worker.evaluate.dataset import Dataset, Text  # noqa: E402
from worker.recipes import AnyRecipe, parse_recipe  # noqa: E402
from worker.recipes.build import build_variant  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def write_model(directory: Path, *, hidden: int = 64, intermediate: int = 96, seed: int = 0) -> Path:
    """A tiny random Llama in BF16 with the reference tokenizer: real files, nothing learnt."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from worker.engines.loading import quiet_libraries
    from worker.reference import model_path

    quiet_libraries()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=4096,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(model_path() / name, directory / name)
    (directory / "LICENSE.txt").write_text("Apache-2.0\n")
    return directory


def calibration_text() -> Dataset:
    """Six documents of code, as a data set."""
    documents = tuple(
        Text(id=f"d{n}", text=f"def f{n}(x):\n    return x + {n}\n" * (n + 10)) for n in range(6)
    )
    return Dataset(name="tiny", digest="sha256:" + "c" * 64, documents=documents)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture
def base_copy(base: Path, tmp_path: Path) -> Path:
    """A base that a test may damage."""
    return Path(shutil.copytree(base, tmp_path / "tiny-llama"))


@pytest.fixture(scope="session")
def built(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Build a recipe of the tiny model once per session."""
    root = tmp_path_factory.mktemp("built")
    done: dict[AnyRecipe, Path] = {}

    def build(name: str, settings: Mapping[str, Any] | None = None) -> Path:
        recipe: AnyRecipe = parse_recipe(name, settings)
        if recipe not in done:
            build_variant(base, root / f"{name}-{len(done)}", recipe, text=calibration_text())
            done[recipe] = root / f"{name}-{len(done)}"
        return done[recipe]

    return build


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """Six documents of JSON Lines."""
    import msgspec

    path = tmp_path / "documents.jsonl"
    lines = [
        {"id": f"d{number}", "text": f"def f{number}(x):\n    return x + {number}\n" * (number + 3)}
        for number in range(6)
    ]
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return path
