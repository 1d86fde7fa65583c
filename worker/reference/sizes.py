"""The named sizes of the reference model: shape and training that go together.

`small` ships with the package. `large` passes 100 million parameters and is trained where there is a GPU; its weights are
not shipped, what was measured on it is.
"""

from __future__ import annotations

from typing import Final

import msgspec

from planner.errors import InvalidInput
from worker.reference.model import ModelShape
from worker.reference.train import TrainingSettings

SMALL_STORED_BYTES: Final = 12_000_000
"""What the files of a model that is committed may weigh."""
SHAPES: Final = {
    "small": ModelShape(),
    # The proportions of GPT-2 small with a gated MLP; every width is a multiple of 128, so that all groups divide it.
    "large": ModelShape(
        vocabulary=8192,
        hidden=768,
        intermediate=2048,
        layers=16,
        heads=12,
        kv_heads=4,
        context=1024,
    ),
}
LEARNING_RATES: Final = {"small": 3e-3, "large": 1.5e-3}
DEFAULT_SECONDS: Final = {"small": 300.0, "large": 240.0}


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """What `make` is given for a named size."""

    shape: ModelShape
    settings: TrainingSettings
    max_stored_bytes: int | None
    """None where the files are not meant to be committed."""


def preset(
    size: str,
    *,
    device: str,
    seconds: float | None = None,
    steps: int | None = None,
    seed: int = 20,
    compiled: bool = False,
) -> Preset:
    """Return shape and settings of a named size, trained for `seconds` or `steps`. Raises InvalidInput."""
    if size not in SHAPES:
        raise InvalidInput("size", f"`{size}` is unknown", allowed=", ".join(SHAPES))
    shape = SHAPES[size]
    return Preset(
        shape=shape,
        settings=TrainingSettings(
            seed=seed,
            device=device,
            seconds=DEFAULT_SECONDS[size] if seconds is None and steps is None else seconds,
            steps=steps,
            sequence=shape.context,
            learning_rate=LEARNING_RATES[size],
            compile=compiled,
        ),
        max_stored_bytes=SMALL_STORED_BYTES if size == "small" else None,
    )
