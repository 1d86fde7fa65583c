"""What a job asked for and what came of it, in sections: a table for what is alike, a line for each fact besides.

Results come as plain documents. Profiles and evaluations are read as what they are; whatever else a worker says, and what a
newer worker says differently, is shown field by field, so that nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar, cast

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from planner.cli.render.tables import decode_limits, evaluations_table, labelled, listing, profiles_table
from planner.domain.evaluation import Evaluation
from planner.domain.profile import NotMeasured, Profile

T = TypeVar("T")
_RECORDS: Final = 20
"""Lists of more are summed up: the whole is in `--json`."""
_TAG: Final = "kind"


def print_result(console: Console, result: Mapping[str, Any]) -> None:
    """Print the result of a job, section by section."""
    left = {key: value for key, value in result.items() if key != _TAG}
    profile = _read(left, "profile", Profile)
    if profile is not None:
        _section(console, "profile", profiles_table([profile]))
        for line in decode_limits([profile]):
            console.print(line)
        _notes(
            console,
            [("doubt", profile.doubt), *(("not measured", _missed(each)) for each in profile.not_measured)],
        )
        left["environment"] = msgspec.to_builtins(profile.environment)
    evaluation = _read(left, "evaluation", Evaluation)
    if evaluation is not None:
        evaluations = [evaluation, *(_read(left, "others", tuple[Evaluation, ...]) or ())]
        _section(console, "evaluations", evaluations_table(evaluations))
        for each in evaluations:
            _notes(console, [("doubt", each.doubt), *(("note", note) for note in each.notes)])
        left["environment"] = msgspec.to_builtins(evaluation.environment)
    print_document(console, "result", left)


def print_document(console: Console, title: str, document: Mapping[str, Any]) -> None:
    """Print a document: its plain fields under `title`, and a section of its own for each part that has fields."""
    plain = {key: value for key, value in document.items() if not _is_part(value)}
    if plain:
        _section(console, title, _facts(plain))
    for key, value in document.items():
        if not _is_part(value):
            continue
        name = key.replace("_", " ")
        if isinstance(value, Mapping):
            _section(console, name, _facts(cast("Mapping[str, Any]", value)))
        else:
            _section(console, name, _rows(cast("list[Mapping[str, Any]]", list(value))))


def _read(document: dict[str, Any], key: str, kind: type[T]) -> T | None:
    """Take a part out of the document as what it is; None, and it stays, when it is another's idea of one."""
    try:
        found = msgspec.convert(document[key], kind)
    except (KeyError, msgspec.ValidationError):
        return None
    del document[key]
    return found


def _missed(point: NotMeasured) -> str:
    return f"{point.workload}: {point.reason.replace('_', ' ')}" + (
        f", {point.detail}" if point.detail else ""
    )


def _section(console: Console, title: str, table: Table) -> None:
    if table.row_count == 0:
        return
    console.print()
    console.print(Text(title, style="bold"))
    console.print(table)


def _notes(console: Console, notes: Iterable[tuple[str, str | None]]) -> None:
    for name, text in notes:
        if text:
            console.print(Text(f"{name}: {text}", style="yellow" if name == "doubt" else ""))


def _is_part(value: object) -> bool:
    """Return whether a value has fields, or is a list of such."""
    if isinstance(value, Mapping):
        return bool(cast("Mapping[str, Any]", value))
    items = cast("list[Any]", value) if isinstance(value, list | tuple) else []
    return bool(items) and all(isinstance(item, Mapping) for item in items)


def _facts(fields: Mapping[str, Any]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        if value is None or value in ((), [], {}, ""):
            continue
        label, text = labelled(name, _short(value))
        table.add_row(Text(f"  {label}", style="dim"), Text(text))
    return table


def _rows(rows: list[Mapping[str, Any]]) -> Table:
    shown = rows[:_RECORDS]
    columns = list(dict.fromkeys(name for row in shown for name, value in row.items() if value is not None))
    texts = [
        {name: labelled(name, _short(value)) for name, value in row.items() if value is not None}
        for row in shown
    ]
    table = listing([next(text[name][0] for text in texts if name in text) for name in columns])
    for row in texts:
        table.add_row(*(Text(row[name][1] if name in row else "") for name in columns))
    if len(rows) > _RECORDS:
        table.add_row(
            Text(f"and {len(rows) - _RECORDS} more: --json", style="dim"), *[""] * (len(columns) - 1)
        )
    return table


def _short(value: object) -> object:
    """Return a plain value: fields in a line, a long list cut, yes and no for flags."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        pairs = (
            labelled(name, _short(field))
            for name, field in cast("Mapping[str, Any]", value).items()
            if field is not None
        )
        return ", ".join(f"{name} {text}" for name, text in pairs)
    if isinstance(value, list | tuple):
        items = cast("list[Any]", value)
        texts = [str(_short(item)) for item in items[:_RECORDS]]
        if len(items) > _RECORDS:
            texts.append(f"and {len(items) - _RECORDS} more: --json")
        return ("; " if _is_part(items) else ", ").join(texts)
    return value
