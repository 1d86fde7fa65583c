"""Which registered variant pushed files say they were built from.

Asked in this order: `base_model` in `planner.json`, in the card's front matter, and `_name_or_path` in `config.json`. A
name counts when it means one variant here: a digest, "OWNER/NAME" or "OWNER/NAME@COMMIT" of a pushed repository, or
"MODEL/VARIANT". A name that means none is no error: the base may never have been registered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from planner.artifacts import model_card
from planner.artifacts.durable import open_regular
from planner.artifacts.json_document import read_json_object
from planner.domain.upload import MAIN
from planner.errors import InvalidFile, InvalidInput, NotFound
from planner.registry import uploads, variants
from planner.registry.transaction import Transaction

_FACTS: Final = "planner.json"
_LIMIT: Final = 1_000_000
_LONGEST: Final = 200


def base_variant(tx: Transaction, files: Mapping[str, Path], *, but: str) -> str | None:
    """Return the id of the variant that files (path → place) name as their base; `but` is the repository they lie in.

    Raises InvalidFile for a `planner.json` or `config.json` that is no JSON object.
    """
    for name in _names(files):
        if name.partition("@")[0].casefold() == but.casefold():
            continue
        found = _pushed(tx, name) or _registered(tx, name)
        if found is not None:
            return found
    return None


def _names(files: Mapping[str, Path]) -> Iterator[str]:
    yield from _text(files, _FACTS, "base_model")
    if "README.md" in files:
        with open_regular(files["README.md"], "README.md") as file:
            stated = model_card.front_matter(file.read(1 << 16)).get("base_model")
        if stated:
            yield stated[:_LONGEST]
    yield from _text(files, "config.json", "_name_or_path")


def _text(files: Mapping[str, Path], file: str, field: str) -> Iterator[str]:
    if file not in files:
        return
    value: Any = read_json_object(files[file], file, limit=_LIMIT, finite=False).get(field)
    if isinstance(value, str) and value.strip():
        yield value.strip()[:_LONGEST]
    elif value is not None and file == _FACTS:
        raise InvalidFile(
            file, field, "is not a name", allowed="a digest, or the name of a repository or variant"
        )


def _pushed(tx: Transaction, name: str) -> str | None:
    repository, _, revision = name.partition("@")
    commit = uploads.head(tx, repository, revision or MAIN) if "/" in repository else None
    return None if commit is None else commit.variant_id


def _registered(tx: Transaction, name: str) -> str | None:
    if "/" not in name and not name.startswith("sha256:"):
        return None
    try:
        return variants.get(tx, name).id
    except (NotFound, InvalidInput):
        return None
