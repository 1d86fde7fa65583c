"""A policy file read: YAML, strictly, with errors that name field, line, what was wrong and what is allowed.

What YAML would let pass in silence is refused: a key given twice, anchors, and words that are no text ("on" is true in YAML 1.1).
"""

from __future__ import annotations

import re
from typing import Any, Final, cast

import msgspec
import yaml

from planner.errors import InvalidInput
from planner.gate.policy import Policy, Problem, problems_of

MAX_CHARACTERS: Final = 256 * 1024
MAX_DEPTH: Final = 12
"""Levels of nesting; a policy has five."""
_PLACE: Final = re.compile(r" - at `(?:key in )?([^`]*)`$")
_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_KINDS: Final[dict[type[yaml.Node], str]] = {
    yaml.MappingNode: "a map",
    yaml.SequenceNode: "a list",
    yaml.ScalarNode: "a value",
}
_AMOUNTS: Final = {
    "margin": '"1%" of the baseline\'s score, or "0.5pp" (points)',
    "regression": 'a share such as "5%"',
    "max_age": 'an age such as "30d", "12h" or "2w"',
    "against": "base, alias:NAME or variant:ID",
    "source": "reference, or blob: and the sha256 of a stored file",
    "version": "1",
}
_AT_MOST: Final = {"latency": 'a duration such as "50ms"', "memory": 'a size such as "24GiB"'}


class InvalidPolicy(InvalidInput):
    """A policy file with everything that is wrong with it."""

    def __init__(self, name: str, problems: tuple[Problem, ...]) -> None:
        first = problems[0]
        where = f"{name}, line {first.line}" if first.line is not None else name
        rest = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(
            f"{where}: {first.field}",
            first.problem,
            allowed=first.allowed + rest,
            problems=[msgspec.to_builtins(each) for each in problems],
        )
        self.problems = problems


def parse_policy(text: str, *, name: str = "policy", floor: bool = False) -> Policy:
    """Return the policy in a YAML `text`. Raises InvalidPolicy with every problem that was found."""
    root, document = _load(text, name)
    try:
        policy = msgspec.convert(document, Policy)
    except msgspec.ValidationError as error:
        raise InvalidPolicy(name, (_structural(str(error), root),)) from None
    problems = problems_of(policy, floor=floor)
    if problems:
        placed = (msgspec.structs.replace(each, line=_line(root, each.field)) for each in problems)
        raise InvalidPolicy(name, tuple(placed))
    return policy


def _load(text: str, name: str) -> tuple[yaml.Node, Any]:
    def refuse(problem: str, allowed: str, line: int | None = None, field: str = "policy") -> InvalidPolicy:
        return InvalidPolicy(name, (Problem(field=field, problem=problem, allowed=allowed, line=line),))

    if len(text) > MAX_CHARACTERS:
        raise refuse(f"is {len(text):,} characters long", f"at most {MAX_CHARACTERS:,}")
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise refuse("uses an anchor", "values written out", _line_of(event.start_mark))
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise refuse(
                    "is nested too deeply", f"at most {MAX_DEPTH} levels", _line_of(event.start_mark)
                )
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
            if not isinstance(root, yaml.MappingNode):
                kind = "empty" if root is None else _KINDS[type(root)]
                raise refuse(f"is {kind}", f"a map of {', '.join(_fields(Policy))}")
            _check_keys(root, "", refuse)
            # PyYAML's stubs leave the node untyped
            document: Any = loader.construct_document(root)  # pyright: ignore[reportUnknownMemberType]
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        problem = f"is not YAML: {error.problem or error.context or 'cannot be read'}"
        raise refuse(problem, "one YAML document", mark.line + 1 if mark else None) from None
    except (yaml.YAMLError, ValueError) as error:
        raise refuse(f"is not YAML: {error}", "one YAML document in UTF-8") from None
    return root, document


def _line_of(mark: Any) -> int | None:
    return None if mark is None else mark.line + 1


def _check_keys(node: yaml.Node, place: str, refuse: Any) -> None:
    """Raise for a key that is given twice or is no text, at any depth."""
    if isinstance(node, yaml.SequenceNode):
        for number, child in enumerate(cast("list[yaml.Node]", node.value)):
            _check_keys(child, f"{place}[{number}]", refuse)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, child in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                shown = str(key.value)[:40]
                raise refuse(f"the key `{shown}` is no text", "names of fields", line, place or "policy")
            name = str(key.value)
            field = f"{place}.{name}" if place else name
            if name in seen:
                raise refuse("is given twice", "each field once", line, field)
            seen.add(name)
            _check_keys(child, field, refuse)


def _structural(message: str, root: yaml.Node) -> Problem:
    match = _PLACE.search(message)
    problem = message[: match.start()] if match else message
    place = match.group(1).removeprefix("$").removeprefix(".") if match else ""
    unknown = re.search(r"unknown field `([^`]*)`", problem)
    missing = re.search(r"missing required field `([^`]*)`", problem)
    if unknown is not None:
        field = f"{place}.{unknown.group(1)}" if place else unknown.group(1)
        allowed = ", ".join(_fields(_type_at(place)))
        return Problem(field=field, problem="is no field", allowed=allowed, line=_line(root, field))
    if missing is not None:
        field = f"{place}.{missing.group(1)}" if place else missing.group(1)
        return Problem(
            field=field, problem="is missing", allowed=_allowed(field, problem), line=_line(root, place)
        )
    shown = re.sub(r" matching regex .*$", " of another form", problem)
    return Problem(
        field=place or "policy",
        problem=shown[:1].lower() + shown[1:],
        allowed=_allowed(place, problem),
        line=_line(root, place),
    )


def _allowed(field: str, problem: str) -> str:
    steps = [step for step, _ in _STEP.findall(field) if step]
    last = steps[-1] if steps else ""
    if last == "at_most":
        return _AT_MOST.get(steps[0], "an amount with its unit")
    if last in _AMOUNTS:
        return _AMOUNTS[last]
    kind = _type_of(field)
    if isinstance(kind, msgspec.inspect.LiteralType):
        return ", ".join(str(value) for value in kind.values)
    if isinstance(kind, msgspec.inspect.StructType):
        return "a map of " + ", ".join(each.encode_name for each in kind.fields)
    if isinstance(kind, msgspec.inspect.IntType | msgspec.inspect.FloatType):
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (
                ("at least", kind.ge), ("above", kind.gt), ("at most", kind.le), ("below", kind.lt),
            )
            if bound is not None
        ]  # fmt: skip
        word = "a whole number" if isinstance(kind, msgspec.inspect.IntType) else "a number"
        return " ".join([word, " and ".join(bounds)]).strip()
    expected = re.search(r"Expected `([^`]*)`", problem)
    words = {"str": "text", "array": "a list", "object": "a map"}
    return words.get(expected.group(1), expected.group(1)) if expected else "text"


def _type_at(place: str) -> type[msgspec.Struct]:
    kind = _type_of(place)
    return kind.cls if isinstance(kind, msgspec.inspect.StructType) else Policy


def _type_of(place: str) -> msgspec.inspect.Type:
    """Return the type that the policy has at a place such as "tasks[0].margin"."""
    kind: msgspec.inspect.Type = msgspec.inspect.type_info(Policy)
    for name, _ in _STEP.findall(place):
        kind = _inner(kind)
        if name and isinstance(kind, msgspec.inspect.StructType):
            kind = next((each.type for each in kind.fields if each.encode_name == name), kind)
    return _inner(kind, lists=bool(re.search(r"\]$", place)))


def _inner(kind: msgspec.inspect.Type, *, lists: bool = True) -> msgspec.inspect.Type:
    """Return what a union with None, a note or, with `lists`, a list is of."""
    while True:
        if isinstance(kind, msgspec.inspect.Metadata):
            kind = kind.type
        elif isinstance(kind, msgspec.inspect.UnionType):
            kind = next(each for each in kind.types if not isinstance(each, msgspec.inspect.NoneType))
        elif lists and isinstance(kind, msgspec.inspect.VarTupleType):
            kind = kind.item_type
        else:
            return kind


def _fields(kind: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind)]


def _line(root: yaml.Node, place: str) -> int | None:
    """Return the line of a place, or of the nearest thing around it that the text has."""
    node, line = root, root.start_mark.line + 1
    for name, number in _STEP.findall(place):
        found: tuple[yaml.Node, yaml.Node] | None = None
        if name and isinstance(node, yaml.MappingNode):
            pairs = cast("list[tuple[yaml.Node, yaml.Node]]", node.value)
            found = next((pair for pair in pairs if pair[0].value == name), None)
        elif number and isinstance(node, yaml.SequenceNode):
            children = cast("list[yaml.Node]", node.value)
            child = children[int(number)] if int(number) < len(children) else None
            found = None if child is None else (child, child)
        if found is None:
            return line
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def line_of(text: str, place: str) -> int | None:
    """Return the line of a place such as "tasks[0]" in a policy's text that was read before; None where it has none."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
    finally:
        loader.dispose()
    if root is None:
        return None
    steps = [name or number for name, number in _STEP.findall(place)]
    return _line(root, place) if steps and _has(root, steps) else None


def _has(node: yaml.Node, steps: list[str]) -> bool:
    for step in steps:
        if isinstance(node, yaml.MappingNode):
            pairs = cast("list[tuple[yaml.Node, yaml.Node]]", node.value)
            found = next((child for key, child in pairs if key.value == step), None)
        elif isinstance(node, yaml.SequenceNode):
            children = cast("list[yaml.Node]", node.value)
            found = children[int(step)] if step.isdecimal() and int(step) < len(children) else None
        else:
            found = None
        if found is None:
            return False
        node = found
    return True
