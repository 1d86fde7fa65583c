"""Perplexity of a reference model on the project's frozen evaluation text, which no corpus contains."""

from __future__ import annotations

import math
from typing import Any

from worker.reference import load_documents


def frozen_perplexity(model: Any, tokenizer: Any, *, context: int) -> float:
    """Return the perplexity per token, weighted by tokens: windows of `context`, the first token of each unscored.

    `tokenizer` is a `tokenizers.Tokenizer`. The same definition as `worker evaluate` uses.
    """
    import torch
    from torch.nn.functional import cross_entropy

    total, count = 0.0, 0
    with torch.inference_mode():
        for document in load_documents():
            ids = torch.tensor(tokenizer.encode(document.text).ids, device=model.device)
            for window in torch.split(ids, context):
                if len(window) > 1:
                    logits = model(input_ids=window[None, :], use_cache=False).logits[0, :-1].float()
                    total += float(cross_entropy(logits, window[1:], reduction="sum"))
                    count += len(window) - 1
    return math.exp(total / count)
