import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InvalidInput
from worker.reference import model_path
from worker.reference.tokenizer import (
    BOS_ID,
    EOS_ID,
    PAD_ID,
    encode_documents,
    save_tokenizer,
    train_tokenizer,
)

pytestmark = pytest.mark.worker

TEXTS = ["def f(x):\n    return x + 1\n", "class A:\n    def g(self) -> int:\n        return self.x\n"] * 20


@pytest.fixture(scope="module")
def shipped():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_path(), local_files_only=True)


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_survives_a_round_trip(shipped, text):
    assert shipped.decode(shipped.encode(text, add_special_tokens=False)) == text


def test_the_shipped_tokenizer_has_its_special_tokens_and_puts_bos_in_front(shipped):
    assert (shipped.bos_token_id, shipped.eos_token_id, shipped.pad_token_id) == (BOS_ID, EOS_ID, PAD_ID)
    ids = shipped("import os\n")["input_ids"]
    assert ids[0] == BOS_ID
    assert ids.count(BOS_ID) == 1
    assert EOS_ID not in ids
    assert len(shipped) == 4096


def test_code_takes_few_tokens_and_an_indented_line_break_is_one(shipped):
    text = "def area(width: float, height: float) -> float:\n        return width * height\n"
    assert len(shipped.encode(text, add_special_tokens=False)) < len(text) / 2.5
    assert len(shipped.encode("\n       ", add_special_tokens=False)) == 1


def test_a_trained_tokenizer_loads_back_equal(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = train_tokenizer(TEXTS, vocabulary=300)
    save_tokenizer(tokenizer, tmp_path, context=128)
    loaded = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert loaded.model_max_length == 128
    for text in [*TEXTS[:2], "ünïcödé 日本 🤖"]:
        assert loaded(text)["input_ids"] == tokenizer.encode(text).ids


def test_documents_are_framed_by_bos_and_eos():
    tokenizer = train_tokenizer(TEXTS, vocabulary=280)
    for text, ids in zip(TEXTS, encode_documents(tokenizer, TEXTS), strict=True):
        assert ids[0] == BOS_ID
        assert ids[-1] == EOS_ID
        assert tokenizer.decode(ids[1:-1].tolist()) == text


@pytest.mark.parametrize("size", [0, 258, 2**16 + 1])
def test_an_impossible_vocabulary_is_refused(size):
    with pytest.raises(InvalidInput, match=f"vocabulary: {size} tokens; allowed: 259 to 65536"):
        train_tokenizer(TEXTS, vocabulary=size)
