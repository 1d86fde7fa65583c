"""The few facts of a model card that matter here, from the YAML front matter of README.md.

Only flat `key: value` lines and one-level lists are read, which is what model cards use for these keys; no YAML
parser touches the file.
"""

from __future__ import annotations

import re
from typing import Final

_MAX_FRONT_MATTER: Final = 65_536
_LINE = re.compile(r"^(license|license_name|base_model):[ \t]*(.*)$")
_ITEM = re.compile(r"^\s*-\s+(.+)$")
_HUB_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")


def front_matter(data: bytes) -> dict[str, str]:
    """Return `license`, `license_name` and `base_model` where the card states them."""
    text = data[:_MAX_FRONT_MATTER].decode("utf-8", "replace")
    if not text.startswith("---"):
        return {}
    facts: dict[str, str] = {}
    pending: str | None = None
    for line in text.splitlines()[1:]:
        if line.startswith("---"):
            break
        match, item = _LINE.match(line), _ITEM.match(line)
        if match is not None:
            key, value = match.group(1), _clean(match.group(2))
            pending = key
            if value:
                facts.setdefault(key, value)
        elif item is not None and pending is not None:
            facts.setdefault(pending, _clean(item.group(1)))
        elif line[:1].strip():
            pending = None
    return facts


def hub_id(text: object) -> str | None:
    """Return `text` when it looks like "owner/name" and is no path on somebody's disk."""
    if isinstance(text, str) and _HUB_ID.fullmatch(text) and not text.startswith((".", "..")):
        return text
    return None


def _clean(value: str) -> str:
    value = value.split(" #", maxsplit=1)[0].strip().strip("'\"")
    if value.startswith("[") and value.endswith("]"):
        value = value[1:-1].split(",")[0].strip().strip("'\"")
    return value[:200]
