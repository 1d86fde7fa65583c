"""The shipped model is a trained one: it loads with stock classes and predicts unseen Python far better than chance."""

import math
from collections import Counter

import pytest

from planner.errors import InvalidInput
from worker.reference import load_documents, model_path
from worker.reference.model import ModelShape, build_model, load_model

pytestmark = pytest.mark.worker

DOCUMENTS = 32


@pytest.fixture(scope="module")
def encoded():
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_path(), local_files_only=True)
    return [tokenizer(document.text)["input_ids"] for document in load_documents(DOCUMENTS)]


def test_perplexity_on_the_evaluation_text_is_far_below_token_frequencies(encoded):
    import torch
    from torch.nn.functional import cross_entropy

    model = load_model(model_path())
    nats, tokens = 0.0, 0
    with torch.no_grad():
        for ids in encoded:
            logits = model(input_ids=torch.tensor([ids])).logits[0, :-1].float()
            nats += float(cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum"))
            tokens += len(ids) - 1
    perplexity = math.exp(nats / tokens)
    # the strongest unigram model there is: the frequencies of this very text
    counts = Counter(token for ids in encoded for token in ids[1:])
    unigram = math.exp(-sum(n / tokens * math.log(n / tokens) for n in counts.values()))
    assert perplexity < 15
    assert perplexity < unigram / 20


def test_it_continues_what_any_python_reader_would():
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_path(), local_files_only=True)
    model = load_model(model_path())
    prompt = "from __future__ import"
    ids = torch.tensor([tokenizer(prompt)["input_ids"]])
    new = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=4)[0, ids.shape[1] :]
    assert tokenizer.decode(new).startswith(" annotations\n")


def test_the_default_shape_is_the_shipped_one():
    config, shape = load_model(model_path()).config, ModelShape()
    assert config.model_type == "llama"
    assert config.tie_word_embeddings
    assert shape == ModelShape(
        vocabulary=config.vocab_size,
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        context=config.max_position_embeddings,
    )


@pytest.mark.parametrize(
    "shape",
    [
        ModelShape(vocabulary=300, hidden=64, intermediate=96, layers=1, heads=4, kv_heads=1, context=32),
        ModelShape(vocabulary=512, hidden=48, intermediate=64, layers=3, heads=3, kv_heads=3, context=16),
    ],
)
def test_the_parameter_count_is_exact(shape):
    assert build_model(shape).num_parameters() == shape.parameters


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (ModelShape(layers=0), "layers: 0 is not positive"),
        (ModelShape(hidden=250), "heads: hidden 250 does not divide"),
        (ModelShape(heads=4, kv_heads=3), "kv_heads: 4 heads do not divide into 3 groups"),
    ],
)
def test_an_impossible_shape_is_refused(shape, message):
    with pytest.raises(InvalidInput, match=message):
        shape.validate()
