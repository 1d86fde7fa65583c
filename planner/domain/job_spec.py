"""The shape every job has, so that one no worker could do is refused when it is queued, not hours later.

Only what all workers agree on is checked: the fields each kind needs and where files may come from. Recipes and their
settings are the worker's business, which may be newer than the server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from planner.domain.job import JobKind
from planner.errors import InvalidInput

_MODEL_SOURCES: Final = {"registry": "variant", "reference": None}
"""Where model files of a queued job come from, and the text each source needs."""
_DATASET_SOURCES: Final = {"blob": "sha256", "reference": None, "standard_library": None}
_TASK_SOURCES: Final = {"blob": "sha256", "reference": "task"}
_TEXTS: Final = {
    "sha256": "the sha256 of a stored file",
    "variant": "id, name or alias",
    "task": "the name of a task that ships with the worker",
}
SHIPPED_TASKS: Final = ("next-line", "finish-line")
"""Tasks that every worker brings along; others are uploaded as task files."""
_REQUIRED: Final = {
    JobKind.BUILD: ("base", "recipe"),
    JobKind.MEASURE: ("variant",),
    JobKind.EVALUATE: ("variant", "baseline"),
}
_OPTIONAL: Final = {
    JobKind.BUILD: ("model", "name", "device", "threads", "dataset", "limit"),
    JobKind.MEASURE: ("conditions",),
    JobKind.EVALUATE: (
        "dataset",
        "limit",
        "window",
        "device",
        "threads",
        "together",
        "tasks",
        "certify",
        "noise_items",
    ),
}
_ALWAYS: Final = ("kind", "timeout_seconds")


def check_spec(kind: JobKind, spec: Mapping[str, Any]) -> None:
    """Raise InvalidInput naming the field unless `spec` has the shape of a queued job of this kind."""
    if spec.get("kind", kind.value) != kind.value:
        raise InvalidInput("spec.kind", f"{_shown(spec['kind'])} contradicts the job", allowed=kind.value)
    fields = (*_REQUIRED[kind], *_OPTIONAL[kind], *_ALWAYS)
    for field in spec:
        if field not in fields:
            raise InvalidInput(
                f"spec.{field[:100]}", f"is no field of a {kind.value} job", allowed=", ".join(fields)
            )
    for field in _REQUIRED[kind]:
        if field == "recipe":
            recipe = _object(spec, field, "an object with `recipe`, the name of a recipe, and its settings")
            _text(recipe, "recipe", "spec.recipe", "the name of a recipe")
        else:
            _check_source(spec, field, _MODEL_SOURCES)
    if "dataset" in spec:
        _check_source(spec, "dataset", _DATASET_SOURCES)
    tasks: Any = spec.get("tasks", [])
    if not isinstance(tasks, list):
        raise InvalidInput("spec.tasks", f"{_shown(tasks)} is no list", allowed="a list of sources")
    for index, task in enumerate(cast("Sequence[Any]", tasks)):
        _check_source({f"tasks[{index}]": task}, f"tasks[{index}]", _TASK_SOURCES)


def _check_source(spec: Mapping[str, Any], field: str, sources: Mapping[str, str | None]) -> None:
    allowed = " or ".join(sources)
    source = _object(spec, field, f"an object whose `from` is {allowed}")
    place = f"spec.{field}"
    kind = _text(source, "from", place, allowed)
    if kind == "path":
        raise InvalidInput(
            f"{place}.from",
            "`path` names the disk of a worker, which queued jobs may not read",
            allowed=allowed,
        )
    if kind not in sources:
        raise InvalidInput(f"{place}.from", f"{_shown(kind)} is unknown", allowed=allowed)
    if (needed := sources[kind]) is not None:
        _text(
            source,
            needed,
            place,
            _TEXTS[needed],
        )


def _object(spec: Mapping[str, Any], field: str, allowed: str) -> Mapping[str, Any]:
    if field not in spec:
        raise InvalidInput(f"spec.{field}", "is missing", allowed=allowed)
    value = spec[field]
    if not isinstance(value, dict):
        raise InvalidInput(f"spec.{field}", f"{_shown(value)} is no object", allowed=allowed)
    return cast("Mapping[str, Any]", value)


def _text(document: Mapping[str, Any], field: str, place: str, allowed: str) -> str:
    if field not in document:
        raise InvalidInput(f"{place}.{field}", "is missing", allowed=allowed)
    value = document[field]
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"{place}.{field}", f"{_shown(value)} is no text", allowed=allowed)
    return value


def _shown(value: Any) -> str:
    return f"`{str(value)[:80]}`"
