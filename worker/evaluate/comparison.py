"""What all evaluations of one job have in common: which two are compared, where, and how sure one wants to be."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from planner.domain.loss import CONFIDENCE
from planner.domain.profile import Environment
from planner.errors import InvalidInput
from worker.engines.loading import check_directory, load_tokenizer
from worker.evaluate.models import ModelPair

NOISE_ITEMS: Final = 16
"""On how many items the baseline is run against itself, unless asked otherwise."""

T = TypeVar("T")


class Certify(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask whether the relative loss is at most `limit`, and stop as soon as that is known at `confidence`."""

    limit: float
    confidence: float = CONFIDENCE

    def __post_init__(self) -> None:
        if not 0 < self.limit < 1:
            raise InvalidInput(
                "certify.limit", f"{self.limit} is out of range", allowed="a relative loss above 0, below 1"
            )
        if not 0.5 < self.confidence < 1:
            raise InvalidInput(
                "certify.confidence", f"{self.confidence} is out of range", allowed="above 0.5, below 1"
            )


@dataclass(frozen=True)
class Comparison:
    """Two models on one device. `context` is the shorter of their contexts, None when neither names one."""

    pair: ModelPair
    variant_id: str
    baseline_id: str
    tokenizer: Any
    baseline_tokenizer: Any
    context: int | None
    claims_quantized: bool
    environment: Environment
    certify: Certify | None = None
    noise_items: int = NOISE_ITEMS

    def order(self, items: Sequence[T]) -> tuple[T, ...]:
        """Return the items in the order to use them: shuffled, always the same way, when one may stop before the end.

        Files are often sorted, and a sorted beginning says nothing about the rest.
        """
        if self.certify is None:
            return tuple(items)
        return tuple(items[index] for index in np.random.default_rng(len(items)).permutation(len(items)))

    def encode(self, text: str, *, what: str) -> list[int]:
        """Return the tokens of `text`. Raises InvalidInput when the two tokenizers read it differently."""
        ids = [int(token) for token in self.tokenizer(text, verbose=False)["input_ids"]]
        if ids != [int(token) for token in self.baseline_tokenizer(text, verbose=False)["input_ids"]]:
            raise InvalidInput(
                "baseline",
                f"its tokenizer reads {what} differently",
                allowed="a baseline with the variant's tokenizer",
            )
        return ids


def compare(
    baseline: Path,
    baseline_id: str,
    variant: Path,
    variant_id: str,
    pair: ModelPair,
    *,
    environment: Environment,
    certify: Certify | None,
    noise_items: int,
) -> Comparison:
    """Return the comparison of two folders of model files. Raises what reading configuration and tokenizer raises."""
    contexts = [limit for directory in (variant, baseline) if (limit := _context(directory)) is not None]
    return Comparison(
        pair=pair,
        variant_id=variant_id,
        baseline_id=baseline_id,
        tokenizer=load_tokenizer(variant),
        baseline_tokenizer=load_tokenizer(baseline),
        context=min(contexts, default=None),
        claims_quantized=bool(check_directory(variant).get("quantization_config")),
        environment=environment,
        certify=certify,
        noise_items=noise_items,
    )


def digest_of(*parts: str) -> str:
    """Return a sha256 over texts, each with its length, for things that are no file of their own."""
    whole = hashlib.sha256()
    for text in parts:
        content = text.encode()
        whole.update(len(content).to_bytes(8, "big") + content)
    return "sha256:" + whole.hexdigest()


def _context(directory: Path) -> int | None:
    """Return the context length in the folder's configuration, without loading the model."""
    config = check_directory(directory)
    text = config.get("text_config")
    limit = (text if isinstance(text, dict) else config).get("max_position_embeddings")
    return limit if isinstance(limit, int) and limit > 1 else None
