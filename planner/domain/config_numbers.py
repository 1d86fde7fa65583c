"""Numbers of a `config.json`: read with one bound for all, named in the error when they are not what they must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from planner.errors import InvalidInput

MAX_NUMBER: Final = 1_000_000_000
"""Upper bound of every number of a configuration: far above any model, and no product of a few overflows a float."""


def whole(config: Mapping[str, Any], *names: str, default: int | None = None) -> int:
    """Return the first of the named fields that is there, else `default`. Raises InvalidInput naming the field."""
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NUMBER:
            shown = "the number" if isinstance(value, int) else f"{value!r:.40}"
            raise InvalidInput(
                f"config.{name}",
                f"{shown} is not a whole number in range",
                allowed=f"an integer from 0 to {MAX_NUMBER}",
            )
        return value
    if default is None:
        raise InvalidInput(f"config.{names[0]}", "is missing", allowed="an integer")
    return default


def layer_numbers(config: Mapping[str, Any], name: str) -> frozenset[int]:
    """Return the layers a field lists, none where it is missing. Raises InvalidInput naming the field."""
    value: Any = config.get(name)
    if value is None:
        return frozenset()
    layers = cast("Sequence[object]", value) if isinstance(value, list | tuple) else None
    if layers is None or not all(isinstance(layer, int) for layer in layers):
        raise InvalidInput(f"config.{name}", "is not a list of layer numbers", allowed="a list of integers")
    return frozenset(cast("Sequence[int]", layers))
