"""Generation: what a model writes after a prompt, matched with reference answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planner.errors import InvalidInput
from worker.evaluate.comparison import Comparison
from worker.evaluate.logits import Predictor
from worker.evaluate.task_file import GenerationHeader, GenerationItem, is_right

PROTOCOL = (
    "greedy decoding of at most {most} tokens, one prompt per pass, prompts cut on the left to fit {context} tokens, "
    "text up to the first of {stop}, match: {match}{case}; v1"
)
METRIC = {
    "exact": "exact_match",
    "contains": "contains",
    "numeric": "numeric_match",
    "regex": "regex_match",
}


@dataclass(frozen=True)
class EncodedPrompt:
    """One item as tokens."""

    id: str
    ids: npt.NDArray[np.int64]
    answers: tuple[str, ...]
    cut: bool


@dataclass(frozen=True)
class Writer:
    """Lets a model answer prompts as the task's header says."""

    header: GenerationHeader
    comparison: Comparison

    def encode(self, identifier: str, item: GenerationItem) -> EncodedPrompt:
        """Return the tokens of an item. Raises InvalidInput when the tokenizers disagree or no context is left."""
        ids = self.comparison.encode(item.prompt, what=f"item `{identifier}`")
        room = (self.comparison.context or len(ids) + self.header.max_tokens) - self.header.max_tokens
        if room < 1 or not ids:
            raise InvalidInput(
                "task",
                f"item `{identifier}` leaves no token of prompt beside {self.header.max_tokens} to write",
                allowed=f"max_tokens below {self.comparison.context}",
            )
        return EncodedPrompt(
            id=identifier,
            ids=np.array(ids[-room:], dtype=np.int64),
            answers=item.answers,
            cut=len(ids) > room,
        )

    def answer(self, predictor: Predictor, item: EncodedPrompt) -> tuple[bool, int]:
        """Return whether the model is right, and how many tokens it wrote."""
        return self._answer(predictor, item, rows=1)

    def answer_again(self, predictor: Predictor, item: EncodedPrompt) -> tuple[bool, int]:
        """Return the same, computed in another batch shape: the prompt twice in one pass."""
        return self._answer(predictor, item, rows=2)

    def _answer(self, predictor: Predictor, item: EncodedPrompt, *, rows: int) -> tuple[bool, int]:
        tokenizer = self.comparison.tokenizer
        prompt = np.repeat(item.ids[None], rows, axis=0)
        written = predictor.generate(
            prompt, most=self.header.max_tokens, stop=self.header.stop, tokenizer=tokenizer
        )[0].tolist()
        end = set(predictor.end_tokens)
        length = next((at + 1 for at, token in enumerate(written) if token in end), len(written))
        text = str(tokenizer.decode(written[:length], skip_special_tokens=True))
        for stop in self.header.stop:
            text = text.split(stop, 1)[0]
        return is_right(self.header, text, item.answers), length

    def protocol(self) -> str:
        """Return how the answers came about, in words."""
        return PROTOCOL.format(
            most=self.header.max_tokens,
            context=self.comparison.context,
            stop=", ".join(repr(text) for text in self.header.stop) or "the model's end token",
            match=self.header.match,
            case=", any case" if self.header.ignore_case else "",
        )
