"""Names of repositories and commits: how models and variants are spelt in the Hugging Face protocol. Pure.

| repository | holds |
|---|---|
| `MODEL/VARIANT` | every build registered under that name of that model, the newest as `main` |
| `models/MODEL`, and the model's own hub id | every variant of the model; `main` is its newest one at reference precision |
| `models/MODEL-GGUF`, and the hub id with `-GGUF` | one GGUF file per quantization, the newest of each |
| `plans/NAME` | what a preset or stored plan chooses |

A commit is the first 40 hexadecimal digits of a variant's digest.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from planner.domain.model import Model
from planner.domain.variant import Variant

MODELS: Final = "models"
PLANS: Final = "plans"
GGUF_SUFFIX: Final = "-GGUF"
COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_DIGEST: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_LONGEST: Final = 45
"""Two names and a slash stay within the 96 characters that clients allow, `-GGUF` included."""
_RESERVED: Final = frozenset(
    {MODELS, PLANS, "api", "assets", "schema", "metrics", "datasets", "spaces", "kernels"}
)
_UNALLOWED: Final = re.compile(r"[^A-Za-z0-9._-]+")
_REPEATED: Final = re.compile(r"-{2,}|\.{2,}")


def slug(name: str) -> str:
    """Return `name` as part of a repository's id.

    A name that clients would refuse is rewritten and marked with a digest of what it was, so that no two names meet.
    """
    plain = _REPEATED.sub(lambda match: match.group()[0], _UNALLOWED.sub("-", name)).strip("-.")
    fits = len(plain) <= _LONGEST and plain not in _RESERVED and not plain.endswith(".git")
    if plain and plain == name and fits:
        return plain
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[: _LONGEST - 9].rstrip('-.') or 'variant'}-{mark}"


def is_reserved(organization: str) -> bool:
    """Return whether ids that begin so are the server's own."""
    return organization.casefold() in _RESERVED


def variant_repository(variant: Variant) -> str:
    """Return the id of the repository that holds `variant`."""
    return f"{slug(variant.model_id)}/{slug(variant.name)}"


def model_repositories(model: Model) -> tuple[str, ...]:
    """Return the ids of the repository of a model's variants: its own, and its name on a hub where it has one."""
    own = f"{MODELS}/{slug(model.id)}"
    hub_id = model.hub_id
    return (own,) if hub_id is None or hub_id.count("/") != 1 else (own, hub_id)


def commit_of(variant_id: str) -> str:
    """Return the commit of a registered variant."""
    return variant_id.removeprefix("sha256:")[:40]


def commit_meant(revision: str) -> str | None:
    """Return the commit that a revision spells out, as a commit or as a whole digest; None for a name."""
    text = revision.lower()
    if COMMIT.fullmatch(text):
        return text
    match = _DIGEST.fullmatch(text)
    return match[1][:40] if match else None
