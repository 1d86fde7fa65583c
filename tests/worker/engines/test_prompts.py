from __future__ import annotations

import numpy as np
import pytest

from planner.errors import InvalidInput
from worker.engines.loading import load_tokenizer
from worker.engines.prompts import TextPrompts
from worker.reference import model_path

pytestmark = pytest.mark.worker


@pytest.fixture(scope="module")
def prompts():
    return TextPrompts(load_tokenizer(model_path()))


@pytest.mark.parametrize("tokens", [1, 2, 17, 200, 1500])
def test_a_text_has_the_tokens_asked_for(prompts, tokens):
    rng = np.random.default_rng(tokens)
    texts = []
    for _ in range(5):
        text, count = prompts.text(rng.integers(0, 4096, size=tokens).tolist())
        assert count == prompts.count(text) == tokens
        texts.append(text)
    assert len(set(texts)) > (1 if tokens == 1 else 4)


def test_a_tokenizer_without_words_is_refused():
    class Letters:
        def __len__(self) -> int:
            return 26

        def decode(self, ids: list[int]) -> str:
            return "".join(chr(97 + number) for number in ids)

        def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
            return [ord(letter) - 97 for letter in text]

    with pytest.raises(InvalidInput, match="0 tokens that stand for a word"):
        TextPrompts(Letters())
