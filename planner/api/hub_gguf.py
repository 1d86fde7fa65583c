"""Repositories that gather a model's GGUF variants: one file per quantization, named as llama.cpp looks for them. Pure.

Their commit is a hash over the variants they are made of, in the order of registration, so the commits of the past are
those of the beginnings of that order, and stay valid.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Final

from planner.api.hub_names import GGUF_SUFFIX
from planner.api.hub_repositories import Repository
from planner.domain.variant import Artifact, Variant

_PART: Final = re.compile(r"-(\d{5}-of-\d{5})\.gguf$", re.IGNORECASE)
_FLOAT: Final = re.compile(r"^FP(?=16|32)")
_SIBLING: Final = re.compile(r"(?:mmproj|mtp)[-_.]", re.IGNORECASE)


def commits(repository: Repository) -> Iterator[tuple[str, Sequence[Variant]]]:
    """Yield every commit of a gathering repository with the variants it is made of (oldest first), newest commit first.

    Commits of what is offered come first, then those that also hold what was yanked or quarantined since.
    """
    offered, everyone = repository.offered, repository.variants
    for variants in (offered, everyone) if len(offered) < len(everyone) else (everyone,):
        oldest_first = tuple(reversed(variants))
        for count in range(len(oldest_first), 0, -1):
            made_of = oldest_first[:count]
            text = "\n".join(variant.id for variant in made_of)
            yield hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), made_of


def files(repository: Repository, made_of: Sequence[Variant]) -> dict[str, tuple[Artifact, Variant]]:
    """Return the files of a commit by path: for each quantization those of its newest variant."""
    base = repository.name.removesuffix(GGUF_SUFFIX)
    newest = {_quantization(variant): variant for variant in made_of}
    found: dict[str, tuple[Artifact, Variant]] = {}
    for quantization, variant in sorted(newest.items()):
        for artifact in variant.artifacts:
            name = artifact.path.rpartition("/")[2]
            if not name.lower().endswith(".gguf"):
                continue
            part = _PART.search(name)
            stem = f"{base}-{quantization}" + (f"-{part[1]}" if part else "")
            path = name if _SIBLING.match(name) else f"{stem}.gguf"
            found.setdefault(path, (artifact, variant))
    return found


def _quantization(variant: Variant) -> str:
    """Return the quantization in llama.cpp's spelling: Q4_K_M for q4_k_m, F16 for fp16."""
    return _FLOAT.sub("F", (variant.scheme.label or variant.scheme.name).upper())
