"""A retention policy from a file: YAML, or TOML by its name, refused with the field, what was wrong and what is allowed."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from planner.domain.retention import RetentionPolicy
from planner.errors import InvalidFile, InvalidInput

MAX_CHARACTERS: Final = 64 * 1024
_PLACE: Final = re.compile(r" - at `\$?\.?([^`]*)`$")
_UNKNOWN: Final = re.compile(r"unknown field `([^`]*)`")


class _Loader(yaml.SafeLoader):
    """YAML in which a key is given once and nothing is repeated by reference."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping. Raises ConstructorError for a key that is given twice."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"`{key}` is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep=deep)


def load_policy(path: Path) -> RetentionPolicy:
    """Return the policy in the file at `path`, or on standard input for "-". Raises InvalidFile naming the field."""
    name = str(path)
    try:
        text = sys.stdin.read() if name == "-" else path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidFile(name, "", "is not UTF-8", allowed="YAML or TOML") from error
    except OSError as error:
        raise InvalidFile(
            name, "", f"cannot be read: {error.strerror}", allowed="a retention policy"
        ) from error
    if len(text) > MAX_CHARACTERS:
        raise InvalidFile(
            name, "", f"is {len(text):,} characters long", allowed=f"at most {MAX_CHARACTERS:,}"
        )
    document = _parsed(name, text)
    try:
        return msgspec.convert(document, RetentionPolicy)
    except msgspec.ValidationError as error:
        raise _refusal(name, str(error)) from error
    except InvalidInput as error:
        given = error.details
        raise InvalidFile(name, given["field"], given["problem"], allowed=given.get("allowed")) from error


def _parsed(name: str, text: str) -> Any:
    try:
        if name.endswith(".toml"):
            return tomllib.loads(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except tomllib.TOMLDecodeError as error:
        raise InvalidFile(name, "", f"is not TOML: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        raise InvalidFile(f"{name}{where}", "", f"is not the YAML of a policy: {problem}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidFile(name, "", "cannot be read", allowed="YAML or TOML of ordinary depth") from error


def _refusal(name: str, message: str) -> InvalidFile:
    """Return msgspec's complaint as one that names the field: "keep.last: Expected `int` >= 1"."""
    match = _PLACE.search(message)
    place, problem = (match[1], message[: match.start()]) if match else ("", message)
    unknown = _UNKNOWN.search(problem)
    if unknown is not None:
        from planner.domain.retention import Keep

        fields = (Keep if place == "keep" else RetentionPolicy).__struct_fields__
        field = f"{place}.{unknown[1]}" if place else unknown[1]
        return InvalidFile(name, field, "is no field", allowed=", ".join(fields))
    return InvalidFile(name, place, problem[:1].lower() + problem[1:])
