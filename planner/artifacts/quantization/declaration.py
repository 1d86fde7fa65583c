"""What a configuration says about quantization, in one form whatever the method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from planner.artifacts.quantization.weight import INTEGERS, Layout
from planner.domain.scheme import ActivationScaling, NumberFormat, Precision
from planner.errors import InvalidFile

Config = Mapping[str, Any]


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """A declared quantization: the method and what it promises about the tensors.

    Empty `formats` promise no particular one; `group_size` None is not stated or one scale per row.
    """

    file: str
    method: str
    layouts: frozenset[Layout]
    formats: frozenset[NumberFormat] = frozenset()
    group_size: int | None = None
    symmetric: bool | None = None
    activation: Precision | None = None
    activation_scaling: ActivationScaling | None = None
    kv: Precision | None = None
    algorithm: str | None = None

    def invalid(self, field: str, problem: str, *, allowed: str | None = None) -> InvalidFile:
        """Return the error that names the file, `quantization_config` and the field in it."""
        return InvalidFile(self.file, f"quantization_config.{field}", problem, allowed=allowed)


def bit_width(config: Config, file: str, *names: str) -> int:
    """Return the first stated bit width under `names`. Raises InvalidFile."""
    value = next((config[name] for name in names if config.get(name) is not None), None)
    if type(value) is not int or value not in INTEGERS:
        raise InvalidFile(
            file,
            f"quantization_config.{names[0]}",
            f"{str(value)[:40]!r} is not a bit width",
            allowed=", ".join(map(str, INTEGERS)),
        )
    return value


def group_of(config: Config, file: str, *names: str) -> int | None:
    """Return the first stated group size under `names`, None for -1 or nothing. Raises InvalidFile."""
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if type(value) is not int or not (value == -1 or 1 <= value <= 1_048_576):
            raise InvalidFile(
                file,
                f"quantization_config.{name}",
                f"{str(value)[:40]!r} is not a group size",
                allowed="-1 or 1 to 1048576",
            )
        return None if value == -1 else value
    return None
