"""The token windows a base runs over before it is quantized: one from the beginning of each document, until there are enough."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from planner.errors import InvalidInput
from worker.recipes.recipe import Ingredients


def calibration_windows(
    model: Any, given: Ingredients, *, windows: int, window: int
) -> list[npt.NDArray[np.int64]]:
    """Return at most `windows` windows of at most `window` tokens, and note in `given.facts` how much that is.

    Raises InvalidInput when there is no text or it gives no window.
    """
    from worker.engines.loading import context_limit, load_tokenizer
    from worker.evaluate.windows import cut_windows

    if given.text is None:
        raise InvalidInput("dataset", "is missing", allowed="text to calibrate on")
    length = min(window, context_limit(model) or window)
    tokenizer = load_tokenizer(given.base)
    chosen: list[npt.NDArray[np.int64]] = []
    for document in given.text.documents:
        chosen += [cut.ids for cut in cut_windows([document], tokenizer, length=length)[:1]]
        if len(chosen) == windows:
            break
    if not chosen:
        raise InvalidInput("dataset", "has no document of two tokens or more", allowed="text to calibrate on")
    given.facts["calibration_windows"] = len(chosen)
    given.facts["calibration_tokens"] = sum(len(ids) for ids in chosen)
    return chosen
