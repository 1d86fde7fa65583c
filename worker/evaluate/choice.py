"""Multiple choice: which continuation of a context a model holds most likely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planner.errors import InvalidInput
from worker.evaluate.comparison import Comparison
from worker.evaluate.logits import Predictor
from worker.evaluate.task_file import ChoiceItem

PROTOCOL = (
    "log-likelihood of each choice after its context, all choices of an item as rows of one pass, padded on the right, "
    "contexts cut on the left to {context} tokens; acc: the highest sum wins, acc_norm: the highest sum per "
    "character of the choice; v1"
)


@dataclass(frozen=True)
class EncodedChoice:
    """One item as tokens: a row per choice, all of whose tokens from `start` on are scored."""

    id: str
    rows: tuple[npt.NDArray[np.int64], ...]
    start: int
    characters: tuple[int, ...]
    answer: int
    cut: bool


def encode_choice(identifier: str, item: ChoiceItem, comparison: Comparison) -> EncodedChoice:
    """Return the tokens of an item.

    Context and choice are encoded as one text, as they would occur; what is scored begins where the encoding of any choice
    first differs from that of the context alone, so that all are scored from the same token on. Raises InvalidInput
    when that does not fit into the context, or the tokenizers disagree.
    """
    what = f"item `{identifier}`"
    context = comparison.encode(item.context, what=what)
    rows = [comparison.encode(item.context + choice, what=what) for choice in item.choices]
    start = max(1, min(_common(context, row) for row in rows))
    excess = max(0, max(map(len, rows)) - (comparison.context or max(map(len, rows))))
    if start - excess < 1:
        raise InvalidInput(
            "task", f"{what} has choices longer than the context", allowed=f"{comparison.context} tokens"
        )
    if min(map(len, rows)) <= start:
        raise InvalidInput("task", f"{what} has a choice without a token of its own")
    return EncodedChoice(
        id=identifier,
        rows=tuple(np.array(row[excess:], dtype=np.int64) for row in rows),
        start=start - excess,
        characters=tuple(len(choice) for choice in item.choices),
        answer=item.answer,
        cut=excess > 0,
    )


def answer_choice(predictor: Predictor, item: EncodedChoice) -> tuple[bool, bool]:
    """Return whether the model is right by the sum of log-likelihoods, and by that per character."""
    return _judge(item, _log_likelihoods(predictor, item.rows, item.start))


def answer_choice_again(predictor: Predictor, item: EncodedChoice) -> tuple[bool, bool]:
    """Return the same, computed in another batch shape: one choice per pass, and no padding."""
    sums = [_log_likelihoods(predictor, (row,), item.start)[0] for row in item.rows]
    return _judge(item, np.array(sums))


def _judge(item: EncodedChoice, sums: npt.NDArray[np.float64]) -> tuple[bool, bool]:
    per_character = sums / np.array(item.characters)
    return int(sums.argmax()) == item.answer, int(per_character.argmax()) == item.answer


def _log_likelihoods(
    predictor: Predictor, rows: tuple[npt.NDArray[np.int64], ...], start: int
) -> npt.NDArray[np.float64]:
    import torch

    length = max(map(len, rows))
    padded = np.stack([np.pad(row, (0, length - len(row)), mode="edge") for row in rows])
    logits = predictor.logits(padded, start=start - 1)[:, :-1].float()
    targets = torch.from_numpy(padded[:, start:]).to(logits.device)
    with torch.inference_mode():
        chosen = (
            torch.log_softmax(logits, dim=-1).gather(-1, targets[..., None])[..., 0].double().cpu().numpy()
        )
    scored = np.arange(start, length)[None] < np.array([len(row) for row in rows])[:, None]
    result: npt.NDArray[np.float64] = np.where(scored, chosen, 0.0).sum(axis=1)
    return result


def _common(first: list[int], second: list[int]) -> int:
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    return length
