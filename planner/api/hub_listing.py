"""Listing and filtering of repositories, as `HfApi.list_models` asks for it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from litestar.datastructures import MultiDict

from planner.api.hub_documents import summary
from planner.api.hub_errors import Refusal
from planner.api.hub_repositories import Repository

MAX_PAGE: Final = 1_000
_SORTS: Final = {
    "createdat": "createdAt",
    "created_at": "createdAt",
    "lastmodified": "lastModified",
    "last_modified": "lastModified",
    "downloads": "downloads",
}
_BOUND: Final = re.compile(r"(min|max):([0-9.]+)([KMBT]?)", re.IGNORECASE)
_SCALE: Final = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}

Query = MultiDict[Any]


def listed(
    repositories: Iterable[Repository], query: Query, counts: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Return the repositories that a query asks for, sorted. Parameters that mean nothing here are ignored."""
    found = [
        summary(repository, downloads=counts.get(repository.id, 0))
        for repository in repositories
        if _has_parameters(repository, query.get("num_parameters"))
    ]
    if (author := query.get("author")) is not None:
        found = [each for each in found if each["author"].casefold() == author.casefold()]
    if (words := query.get("search")) is not None:
        wanted = words.casefold().split()
        found = [each for each in found if all(word in each["id"].casefold() for word in wanted)]
    marks = [mark.casefold() for mark in _values(query, ("filter", "tags", "library"))]
    if marks:
        found = [each for each in found if _has_marks(each["tags"], marks)]
    if (task := query.get("pipeline_tag")) is not None:
        found = [each for each in found if each["pipeline_tag"] == task]
    if query.get("gated", "").lower() == "true" or query.get("inference_provider") is not None:
        return []  # nothing here is gated, and nothing is run elsewhere
    key = _SORTS.get(query.get("sort", "").lower())
    return sorted(found, key=lambda each: each[key], reverse=True) if key else found


def page_bounds(query: Query) -> tuple[int, int]:
    """Return where the page starts and how many repositories it has at most. Raises Refusal."""
    values: list[int] = []
    for name, default in (("cursor", 0), ("limit", MAX_PAGE)):
        text = query.get(name, str(default))
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise Refusal(400, f"{name}: `{text[:50]}` is not a number")
        values.append(int(text))
    return values[0], max(1, min(values[1], MAX_PAGE))


def _values(query: Query, names: Iterable[str]) -> Iterable[str]:
    for name in names:
        for value in query.getall(name, []):
            yield from (part for part in value.split(",") if part)


def _has_marks(tags: Iterable[str], wanted: Iterable[str]) -> bool:
    own = {tag.casefold() for tag in tags}
    return all(mark in own for mark in wanted)


def _has_parameters(repository: Repository, bounds: str | None) -> bool:
    if bounds is None or repository.model is None:
        return True
    for text in bounds.split(","):
        match = _BOUND.fullmatch(text.strip())
        if match is None or match[2].count(".") > 1 or match[2] == ".":
            raise Refusal(400, f"num_parameters: `{text[:50]}` is not understood; allowed: min:6B,max:128B")
        bound = float(match[2]) * _SCALE[match[3].upper()]
        held = repository.model.parameters
        if held < bound if match[1].lower() == "min" else held > bound:
            return False
    return True
