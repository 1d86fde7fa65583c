from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from planner.errors import InvalidInput
from worker.engines.loading import load_tokenizer
from worker.evaluate.dataset import Dataset, Text
from worker.reference import model_path
from worker.training.sequences import HELD_OUT, pack, training_sequences

pytestmark = pytest.mark.worker

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(model_path())


def documents(*texts: str) -> Dataset:
    return Dataset(
        name="text",
        digest="sha256:0",
        documents=tuple(Text(id=str(number), text=text) for number, text in enumerate(texts)),
    )


def test_short_documents_are_packed_whole_with_an_end_between(tokenizer):
    text = documents("x = 1\n", "def f():\n    return 2\n", "y = f()\n" * 4)
    expected = []
    for document in text.documents:
        expected += [*tokenizer(document.text)["input_ids"], tokenizer.eos_token_id]
    packed = pack(text, tokenizer, length=7, wanted=100)
    assert packed.shape == (len(expected) // 8, 8)
    assert packed.flatten().tolist() == expected[: packed.size]


def test_sequences_come_from_many_documents_and_the_same_each_time(tokenizer):
    marked = [f"name_{number} = {number}\n" * 200 for number in range(6)]
    packed = pack(documents(*marked), tokenizer, length=31, wanted=12)
    again = pack(documents(*marked), tokenizer, length=31, wanted=12)
    assert packed.shape == (12, 32)
    assert (packed == again).all()
    told = tokenizer.decode(packed.flatten())
    assert sum(f"name_{number} " in told for number in range(6)) >= 3


def test_more_than_a_stretch_of_each_document_is_read_where_there_is_need(tokenizer):
    text = documents("a = 1\n" * 20, "b = 2\n" * 2000)
    everything = sum(len(tokenizer(document.text)["input_ids"]) + 1 for document in text.documents)
    assert len(pack(text, tokenizer, length=15, wanted=10**6)) == everything // 16


def test_a_text_without_one_sequence_is_refused(tokenizer):
    with pytest.raises(InvalidInput, match="at least one sequence of 65 tokens"):
        pack(documents("x = 1\n"), tokenizer, length=64, wanted=1)


def test_what_is_held_out_is_not_trained_on(tokenizer):
    text = documents(*(f"value_{number} = {number * 7}\n" * 30 for number in range(40)))
    sequences = training_sequences(text, tokenizer, length=31, wanted=60)
    assert len(sequences.held_out) == min(HELD_OUT, (len(sequences.train) + len(sequences.held_out)) // 5)
    held = {row.tobytes() for row in sequences.held_out}
    assert not any(row.tobytes() in held for row in sequences.train)


def test_every_sequence_comes_once_a_pass_in_an_order_fixed_by_the_seed(tokenizer):
    text = documents(*(f"value_{number} = {number * 7}\n" * 30 for number in range(40)))
    sequences = training_sequences(text, tokenizer, length=31, wanted=24)
    count = len(sequences.train)

    def ordered(seed):
        batches = itertools.islice(sequences.batches(1, seed=seed, device=CPU), count)
        return torch.cat(list(batches)).numpy()

    assert (ordered(1) == ordered(1)).all()
    assert not (ordered(1) == ordered(2)).all()
    rows = {row.tobytes() for row in ordered(1)}
    assert rows == {row.tobytes() for row in sequences.train}
    held = torch.cat(list(sequences.held_out_batches(3, device=CPU))).numpy()
    assert np.array_equal(held, sequences.held_out)
