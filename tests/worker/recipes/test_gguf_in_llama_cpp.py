"""The exported file in llama.cpp itself: run where `llama-cpp-python` is installed (extra `llama`)."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from tests.worker.recipes import gguf_models
from worker.engines.loading import load_model, load_tokenizer
from worker.recipes import parse_recipe
from worker.recipes.build import build_variant
from worker.reference import evaluation_path, model_path

llama_cpp = pytest.importorskip("llama_cpp")
pytestmark = pytest.mark.worker
CPU = torch.device("cpu")
HARD = (
    "x = 12345 + 3.14  # naïve café 你好 🚀\n\n\tdef f(a,b):\n\t\treturn a**b  \n\r\n   'it''s' don't I'LL  \n",
    " leading and   many    spaces\n\n\n and trailing   ",
    "",
)


def load(directory: Path, **options):
    (path,) = directory.glob("*.gguf")
    return llama_cpp.Llama(
        str(path), n_ctx=1024, n_batch=1024, n_threads=1, logits_all=True, verbose=False, **options
    )


def documents() -> list[str]:
    return [msgspec.json.decode(line)["text"] for line in evaluation_path().read_bytes().splitlines()]


def perplexity(logits: torch.Tensor, ids: list[int]) -> float:
    return math.exp(torch.nn.functional.cross_entropy(logits[:-1].double(), torch.tensor(ids[1:])).item())


def logits_of(llama, ids: list[int]) -> torch.Tensor:
    llama.reset()
    llama.eval(ids)
    return torch.from_numpy(np.array(llama.scores[: len(ids)]))


@pytest.mark.parametrize(
    ("kind", "relative"),
    [
        ("f16", 5e-4),
        ("bf16", 2e-3),
        ("q8_0", 0.01),
        ("q5_1", 0.01),
        ("q5_0", 0.01),
        ("q4_1", 0.01),
        ("q4_0", 0.01),
    ],
)
def test_perplexity_is_what_transformers_computes_from_the_same_file(tmp_path, kind, relative):
    # llama.cpp rounds activations to 8 bits in products with quantized blocks: the difference that is left.
    build_variant(model_path(), tmp_path / "out", parse_recipe("gguf", {"type": kind}))
    llama, model = load(tmp_path / "out"), load_model(tmp_path / "out", device=CPU)
    tokenizer = load_tokenizer(tmp_path / "out")
    theirs, ours = [], []
    for text in documents()[:2]:
        ids = tokenizer(text).input_ids[:512]
        with torch.inference_mode():
            ours.append(perplexity(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0], ids))
        theirs.append(perplexity(logits_of(llama, ids), ids))
    assert theirs == pytest.approx(ours, rel=relative)


def test_every_document_of_the_evaluation_has_the_same_tokens(tmp_path):
    build_variant(model_path(), tmp_path / "out", parse_recipe("gguf", {"type": "f16"}))
    llama, tokenizer = load(tmp_path / "out"), load_tokenizer(model_path())
    for text in (*documents(), *HARD):
        assert llama.tokenize(text.encode(), add_bos=True, special=True) == tokenizer(text).input_ids
    assert (llama.token_bos(), llama.token_eos()) == (0, 1)
    assert llama.metadata["tokenizer.ggml.add_bos_token"] == "true"


@pytest.mark.parametrize("name", gguf_models.MODELS)
def test_every_architecture_computes_the_same(tmp_path, name):
    base = gguf_models.write(tmp_path / "base", name)
    build_variant(base, tmp_path / "out", parse_recipe("gguf", {"type": "f16"}))
    ids = torch.randint(3, 4096, (200,), generator=torch.Generator().manual_seed(0)).tolist()
    with torch.inference_mode():
        ours = load_model(base, device=CPU, dtype="float32")(input_ids=torch.tensor([ids])).logits[0]
    theirs = logits_of(load(tmp_path / "out"), ids)
    nearness = torch.nn.functional.cosine_similarity(ours, theirs, dim=-1)
    assert nearness.min() > 0.999


@pytest.mark.parametrize("kind", ["gpt-2", "smollm", "llama-bpe", "smaug-bpe", "qwen2", "sentencepiece"])
def test_every_kind_of_tokenizer_gives_the_same_tokens(tmp_path, kind):
    base = gguf_models.write(tmp_path / "base", "llama")
    tokenizer = gguf_models.train_tokenizer(kind)
    tokenizer.save(str(base / "tokenizer.json"))
    (base / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}'
    )
    build_variant(base, tmp_path / "out", parse_recipe("gguf", {"type": "f16"}))
    llama = load(tmp_path / "out")
    for text in (*documents()[:20], *HARD):
        wanted = tokenizer.encode(text, add_special_tokens=False).ids
        if kind == "sentencepiece" and not text:
            continue  # nothing, or a lone space: a matter of taste
        assert llama.tokenize(text.encode(), add_bos=False, special=True) == wanted, text[:80]
