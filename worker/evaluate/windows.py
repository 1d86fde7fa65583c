"""Documents as token windows: both models see exactly the same token ids, one window at a time and without padding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.errors import InvalidInput
from worker.evaluate.dataset import Text


@dataclass(frozen=True)
class Window:
    """Consecutive tokens of one document; all but the first are scored."""

    document: int
    ids: npt.NDArray[np.int64]


def cut_windows(
    documents: Iterable[Text], tokenizer: Any, *, length: int, baseline_tokenizer: Any | None = None
) -> list[Window]:
    """Return the documents' windows of at most `length` tokens.

    A document that is longer becomes several windows, each scored without what came before it. Raises InvalidInput when
    the two tokenizers disagree on any document: losses on different tokens cannot be paired.
    """
    if length < 2:
        raise InvalidInput("window", f"{length} is out of range", allowed="2 tokens or more")
    windows: list[Window] = []
    for index, document in enumerate(documents):
        ids = _encode(tokenizer, document.text)
        if baseline_tokenizer is not None and not np.array_equal(
            ids, _encode(baseline_tokenizer, document.text)
        ):
            raise InvalidInput(
                "baseline",
                f"its tokenizer reads document `{document.id}` differently",
                allowed="a baseline with the variant's tokenizer",
            )
        pieces = [ids[start : start + length] for start in range(0, len(ids), length)]
        windows += [Window(document=index, ids=piece) for piece in pieces if len(piece) > 1]
    return windows


def _encode(tokenizer: Any, text: str) -> npt.NDArray[np.int64]:
    return np.asarray(tokenizer(text, verbose=False)["input_ids"], dtype=np.int64)
