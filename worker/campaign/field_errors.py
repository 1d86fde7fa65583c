"""What is wrong in a campaign file, named as its author sees it: the field, what may stand there, and the nearest name.

msgspec says where a document departs from its type, but not what would be right; the types themselves say that.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Sequence
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Final, Literal, get_args, get_origin

import msgspec

from planner.errors import InvalidInput

_WHERE: Final = re.compile(r" - at `(?P<path>\$[^`]*)`$")
_UNKNOWN: Final = re.compile(r"^Object contains unknown field `(?P<name>.*)`$")
_MISSING: Final = re.compile(r"^Object missing required field `(?P<name>.*)`$")
_PART: Final = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<index>\d+|\.\.\.)\]")
_KINDS: Final[dict[Any, str]] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    NoneType: "nothing",
}


def field_error(document: Any, root: type[msgspec.Struct], problem: str, *, name: str) -> InvalidInput:
    """Return msgspec's `problem` with `document` as the error of a field of the file that is called `name`.

    Steps are counted from 1, as people do.
    """
    found = _WHERE.search(problem)
    path = found["path"] if found else "$"
    said = problem[: found.start()] if found else problem
    kinds, value = _follow(document, [root], path)
    field = name + _shown(path)
    if unknown := _UNKNOWN.match(said):
        return _unknown_field(f"{field}.{unknown['name']}", unknown["name"], kinds)
    if missing := _MISSING.match(said):
        absent = missing["name"]
        inner = [kind for struct in _structs(kinds) for kind in _field_types(struct, absent)]
        tags = [tag for kind in _structs(kinds) for tag in _tag_of(kind, f".{absent}")]
        return InvalidInput(f"{field}.{absent}", "is missing", allowed=", ".join(tags) or _allowed(inner))
    tags = [tag for kind in _structs(kinds) for tag in _tag_of(kind, path)]
    if tags:
        return InvalidInput(field, _not(value, tags), allowed=", ".join(tags))
    return InvalidInput(field, _sentence(said), allowed=_allowed(kinds))


def _follow(document: Any, kinds: list[Any], path: str) -> tuple[list[Any], Any]:
    """Return the types that may stand at the path, and the value that does; for a tag, those it would choose among."""
    value = document
    for part in _PART.finditer(path):
        if part["name"] is None:
            kinds = [
                inner
                for kind in kinds
                if get_origin(kind) in {tuple, list}
                for inner in _alternatives(get_args(kind)[0])
            ]
            value = _item(value, part["index"])
            continue
        structs = _chosen(_structs(kinds), value)
        value = value.get(part["name"]) if isinstance(value, dict) else None
        inner = [kind for struct in structs for kind in _field_types(struct, part["name"])]
        kinds = inner or structs
    return kinds if _is_tag(path, kinds) else _narrowed(kinds, value), value


def _item(value: Any, index: str) -> Any:
    if index.isdecimal() and isinstance(value, list) and int(index) < len(value):
        return value[int(index)]
    return None


def _narrowed(kinds: list[Any], value: Any) -> list[Any]:
    """Return the types left once a value shows which struct it means."""
    structs = _structs(kinds)
    return _chosen(structs, value) if isinstance(value, dict) and structs else kinds


def _chosen(structs: list[type[msgspec.Struct]], value: Any) -> list[type[msgspec.Struct]]:
    """Return the struct whose tag the value carries, all where it carries none."""
    told = [
        struct
        for struct in structs
        if isinstance(value, dict)
        and struct.__struct_config__.tag_field is not None
        and value.get(struct.__struct_config__.tag_field) == struct.__struct_config__.tag
    ]
    return told or structs


def _is_tag(path: str, kinds: list[Any]) -> bool:
    return any(_tag_of(kind, path) for kind in _structs(kinds))


def _tag_of(kind: type[msgspec.Struct], path: str) -> list[str]:
    """Return the struct's tag when the path ends at the field that holds it."""
    config = kind.__struct_config__
    return [str(config.tag)] if config.tag_field and path.endswith(f".{config.tag_field}") else []


def _structs(kinds: Sequence[Any]) -> list[type[msgspec.Struct]]:
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]


def _field_types(struct: type[msgspec.Struct], name: str) -> list[Any]:
    hints = typing.get_type_hints(struct)
    return _alternatives(hints[name]) if name in struct.__struct_encode_fields__ else []


def _alternatives(kind: Any) -> list[Any]:
    return list(get_args(kind)) if get_origin(kind) in {typing.Union, UnionType} else [kind]


def _unknown_field(field: str, name: str, kinds: list[Any]) -> InvalidInput:
    structs = _structs(kinds)
    tags = [str(s.__struct_config__.tag_field) for s in structs if s.__struct_config__.tag_field]
    names = list(dict.fromkeys([*tags, *(known for s in structs for known in s.__struct_encode_fields__)]))
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    problem = "is no field here" + (f"; did you mean `{near[0]}`?" if near else "")
    return InvalidInput(field, problem, allowed=", ".join(names) or None)


def _not(value: Any, allowed: list[str]) -> str:
    near = get_close_matches(str(value), allowed, n=1, cutoff=0.5)
    return f"`{value}` is not allowed" + (f"; did you mean `{near[0]}`?" if near else "")


def _allowed(kinds: Sequence[Any]) -> str | None:
    words = [word for kind in kinds if (word := _in_words(kind))]
    return " or ".join(dict.fromkeys(words)) or None


def _in_words(kind: Any) -> str | None:
    if kind in _KINDS:
        return _KINDS[kind]
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    if get_origin(kind) in {tuple, list}:
        inner = _allowed(_alternatives(get_args(kind)[0]))
        return f"a list, each {inner}" if inner else "a list"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return (
            "a table of " + ", ".join(kind.__struct_encode_fields__[:12])
            if not kind.__struct_config__.tag
            else "a table"
        )
    return None


def _shown(path: str) -> str:
    """Return the path as the file's author would write it, counting from 1."""
    parts = _PART.finditer(path)
    return "".join(
        f".{part['name']}"
        if part["name"]
        else f"[{int(part['index']) + 1}]"
        if part["index"].isdecimal()
        else "[…]"
        for part in parts
    )


def _sentence(said: str) -> str:
    """Return msgspec's "Expected `array`, got `str`" as what is wrong with a field."""
    words = said.replace("`object`", "a table").replace("`array`", "a list")
    return "is wrong: " + words[:1].lower() + words[1:]
