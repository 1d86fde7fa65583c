"""What a job asks of a worker, in one small grammar, and whether a worker's statements meet it.

    cuda   device:h200-sxm   library:bitsandbytes     the worker states this very word
    vram>=24GiB   ram>=32GiB   cc>=8.9   gpus>=2      the worker states a value of the quantity for which it holds
    !device:t4                                        the worker does not state it

A worker states words, and quantities as `name:value`: `cuda`, `cc:9.0`, `vram:139.8GiB`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Final

import msgspec

from planner.domain.units import parse_bytes
from planner.errors import InvalidInput

MAX_LENGTH: Final = 100
FORMS: Final = (
    "a word such as cuda, device:h200-sxm or library:bitsandbytes; !word; or vram, ram, cc or gpus with "
    ">=, >, <=, < or == and a value, such as vram>=24GiB or cc>=8.9"
)

Value = tuple[int, ...]
"""A quantity's value in a form that compares: bytes, a count, or the parts of a version."""

_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._+/-]*")
_COMPARISON: Final = re.compile(r"([A-Za-z0-9_-]*)\s*(>=|<=|==|=|>|<)\s*(.*)")
_OPERATORS: Final[dict[str, Callable[[Value, Value], bool]]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
}


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """One requirement. `comparison` empty: the worker must state the word `name`, or must not when `negated`."""

    name: str
    comparison: str = ""
    value: str = ""
    negated: bool = False

    def __str__(self) -> str:
        return f"{'!' if self.negated else ''}{self.name}{self.comparison}{self.value}"

    def is_met_by(self, capabilities: AbstractSet[str]) -> bool:
        """Return whether a worker that states `capabilities` meets it."""
        if not self.comparison:
            return (self.name in capabilities) is not self.negated
        wanted, compare = _QUANTITIES[self.name](self.value, self.name), _OPERATORS[self.comparison]
        return any(compare(stated, wanted) for stated in _stated(self.name, capabilities))


def parse(text: str, *, field: str = "requires") -> Requirement:
    """Return the requirement that `text` spells. Raises InvalidInput naming `field`."""
    if len(text) > MAX_LENGTH:
        raise InvalidInput(
            field, f"`{text[:40]}…` is {len(text)} characters long", allowed=f"1 to {MAX_LENGTH}"
        )
    stripped = text.strip()
    negated = stripped.startswith("!")
    if negated:
        stripped = stripped[1:].strip()
    if _WORD.fullmatch(stripped):
        name, _, value = stripped.partition(":")
        if name in _QUANTITIES and not negated:
            hint = f"{name}>={value}" if value else f"{name}>=VALUE"
            raise InvalidInput(
                field, f"`{stripped}` compares nothing", allowed=f"a comparison such as {hint}"
            )
        return Requirement(name=stripped, negated=negated)
    match = _COMPARISON.fullmatch(stripped)
    if match is None or negated:
        raise InvalidInput(field, f"`{text}` is not a requirement", allowed=FORMS)
    name, comparison, value = match.groups()
    if name not in _QUANTITIES:
        raise InvalidInput(
            field, f"`{text}` compares `{name}`, which is no quantity", allowed=", ".join(_QUANTITIES)
        )
    _QUANTITIES[name](value, field)
    return Requirement(
        name=name, comparison="==" if comparison == "=" else comparison, value="".join(value.split())
    )


def unmet(requirements: Iterable[str], capabilities: AbstractSet[str]) -> tuple[str, ...]:
    """Return those of the spelt requirements that `capabilities` do not meet.

    Text of an older or newer version that this one cannot read is met by nothing but the same word.
    """
    return tuple(
        text for text in requirements if text not in capabilities and not _is_met(text, capabilities)
    )


def _is_met(text: str, capabilities: AbstractSet[str]) -> bool:
    requirement = _parsed(text)
    return requirement is not None and requirement.is_met_by(capabilities)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Requirement | None:
    try:
        return parse(text)
    except InvalidInput:
        return None


def _stated(name: str, capabilities: AbstractSet[str]) -> Iterable[Value]:
    """Yield every value that a worker states for the quantity; what cannot be read states nothing."""
    for capability in capabilities:
        stated, _, value = capability.partition(":")
        if stated == name:
            try:
                yield _QUANTITIES[name](value, name)
            except InvalidInput:
                continue


def _bytes(text: str, field: str) -> Value:
    if text.strip()[-1:].isdigit():
        raise InvalidInput(field, f"`{text}` has no unit", allowed="a size such as 24GiB")
    return (parse_bytes(text, field=field, binary=True),)


def _version(text: str, field: str) -> Value:
    match = re.fullmatch(r"\s*(\d{1,4})(?:\.(\d{1,4}))?\s*", text, re.ASCII)
    if match is None:
        raise InvalidInput(field, f"`{text}` is not a version", allowed="major.minor, such as 8.9")
    return int(match[1]), int(match[2] or 0)


def _count(text: str, field: str) -> Value:
    if re.fullmatch(r"\s*\d{1,6}\s*", text, re.ASCII) is None:
        raise InvalidInput(field, f"`{text}` is not a count", allowed="a whole number")
    return (int(text),)


_QUANTITIES: Final[dict[str, Callable[[str, str], Value]]] = {
    "vram": _bytes,
    "ram": _bytes,
    "cc": _version,
    "gpus": _count,
}
"""What can be compared: device and host memory, CUDA compute capability, GPUs of the first one's kind."""
