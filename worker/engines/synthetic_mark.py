"""The mark of made-up weights in a model's configuration, so that it goes wherever the model's files go.

Speed and memory of such a model are real, and everything else about it is not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from planner.errors import InvalidInput

MARK: Final = "synthetic_weights"
"""Field of `config.json`, true where the weights were made up."""


def is_synthetic(directory: Path) -> bool:
    """Return whether the folder's configuration says that its weights were made up."""
    try:
        config = msgspec.json.decode((directory / "config.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return False
    return isinstance(config, dict) and bool(config.get(MARK))


def refuse_synthetic(directory: Path, *, field: str) -> None:
    """Raise InvalidInput naming `field` for a folder whose weights were made up: they have no accuracy."""
    if is_synthetic(directory):
        raise InvalidInput(
            field,
            "has made-up weights, which say nothing about accuracy",
            allowed="a variant with weights that were trained; speed and memory can be measured",
        )
