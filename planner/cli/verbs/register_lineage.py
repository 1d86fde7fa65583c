"""What a registration says of where its files come from: how they were built, and from which base. Read from files and names."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from planner.domain.variant import Provenance, Variant
from planner.errors import InvalidInput, NotFound
from planner.wire.service import Service

MAX_RECIPE_BYTES: Final = 1_000_000
_AT_COMMIT: Final = re.compile(r"(?P<repository>[^@\s/]+/[^@\s/]+)@(?P<commit>[0-9a-fA-F]{12,64})")


def load_provenance(path: Path) -> Provenance:
    """Return the provenance in a JSON file, as a worker writes it. Raises InvalidInput naming the field."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Provenance)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(
            str(path), str(error), allowed="a JSON object with the fields of a provenance"
        ) from error


def with_recipe(provenance: Provenance, path: Path) -> Provenance:
    """Return `provenance` with the recipe in a YAML or JSON file: its name, its settings and their digest.

    The name is the file's own `recipe`, else the file's. The digest is sha256 over the canonical JSON of the content, so
    that comments and the order of keys do not make another recipe. Raises InvalidInput.
    """
    allowed = "a YAML or JSON file that holds one mapping"
    try:
        if path.stat().st_size > MAX_RECIPE_BYTES:
            raise InvalidInput("--recipe", "is too large", allowed=f"at most {MAX_RECIPE_BYTES} bytes")
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        canonical = msgspec.json.encode(document, order="sorted")
        settings = msgspec.json.decode(canonical, type=dict[str, Any])
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidInput("--recipe", f"{path}: {error}"[:500], allowed=allowed) from error
    name = settings.get("recipe")
    return msgspec.structs.replace(
        provenance,
        recipe=name if isinstance(name, str) and name else path.stem,
        recipe_digest="sha256:" + hashlib.sha256(canonical).hexdigest(),
        settings={key: value for key, value in settings.items() if key != "recipe"},
    )


def with_base(service: Service, provenance: Provenance, base: str) -> tuple[Provenance, str | None]:
    """Return `provenance` with the lineage to `base`, and the model that it names where it is not registered here.

    A base that is registered, or pushed here, is kept by its digest. One of another hub, "ORG/MODEL@COMMIT", is kept by
    repository and commit. Raises NotFound for any other.
    """
    at = _AT_COMMIT.fullmatch(base)
    if at is None:
        return msgspec.structs.replace(provenance, base_variant_id=service.variant(base).id), None
    commit = at["commit"].lower()
    found = _registered(service, base) or _registered(service, commit)
    if found is not None:
        return msgspec.structs.replace(provenance, base_variant_id=found.id), None
    facts = {**provenance.facts, "base_repository": at["repository"], "base_commit": commit}
    return msgspec.structs.replace(provenance, facts=facts), at["repository"]


def _registered(service: Service, name: str) -> Variant | None:
    try:
        return service.variant(name)
    except NotFound:
        return None
