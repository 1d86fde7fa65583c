"""Variants: immutable builds of a model, identified by the content of their files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from planner.domain.figure import Figure
from planner.domain.profile import Fact
from planner.domain.scheme import Scheme
from planner.errors import InvalidInput

SHA256: Final = re.compile(r"[0-9a-f]{64}")
MAX_PATH_LENGTH: Final = 512
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class FileFormat(StrEnum):
    """Container of the weights."""

    SAFETENSORS = "safetensors"
    GGUF = "gguf"
    UNKNOWN = "unknown"
    """A published build whose source does not say."""


class Artifact(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One file of a variant: its POSIX path inside the variant, size in bytes and sha256 in lower-case hex."""

    path: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        check_path(self.path)
        if not 0 <= self.size <= 2**60:
            raise InvalidInput("artifact.size", f"{self.size} is out of range", allowed="0 to 1 EiB")
        if SHA256.fullmatch(self.sha256) is None:
            raise InvalidInput(
                "artifact.sha256", f"`{self.sha256[:80]}` is not a sha256", allowed="64 lower-case hex digits"
            )


def check_path(path: str) -> None:
    """Raise InvalidInput unless `path` is a clean relative POSIX path that cannot leave its folder."""
    parts = path.split("/")
    bad = (
        not path
        or len(path) > MAX_PATH_LENGTH
        or "\\" in path
        or _CONTROL.search(path)
        or any(part in {"", ".", ".."} for part in parts)
        or re.match(r"[A-Za-z]:", path)
    )
    if bad:
        raise InvalidInput(
            "artifact.path",
            f"{path[:80]!r} is not allowed",
            allowed="a relative path without `..`, `\\` or control characters",
        )


def manifest_digest(artifacts: Iterable[Artifact]) -> str:
    """Return "sha256:<hex>" over the canonical manifest: JSON of [path, size, sha256], sorted by path.

    The digest does not depend on the order of the files. Raises InvalidInput on an empty or ambiguous manifest.
    """
    rows = sorted((artifact.path, artifact.size, artifact.sha256) for artifact in artifacts)
    paths = [path for path, _, _ in rows]
    if not rows:
        raise InvalidInput("artifacts", "are empty", allowed="at least one file")
    if len({path.casefold() for path in paths}) != len(paths):
        raise InvalidInput(
            "artifacts", "hold the same path twice (letter case is ignored)", allowed="unique paths"
        )
    return "sha256:" + hashlib.sha256(msgspec.json.encode(rows)).hexdigest()


class Provenance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a variant came to be: recipe with its configuration, what it was built from, by what, at what cost."""

    recipe: str | None = None
    recipe_digest: str | None = None
    settings: Mapping[str, Any] = {}
    """The recipe's configuration, defaults written out."""
    base_variant_id: str | None = None
    calibration_digest: str | None = None
    """sha256 of the text it was calibrated or trained on."""
    needs: tuple[str, ...] = ()
    """What running it needs of a machine: "cuda", "cc>=8.9", "library:bitsandbytes"."""
    versions: Mapping[str, str] = {}
    build_seconds: float | None = None
    build_peak_bytes: int | None = None
    facts: Mapping[str, Fact] = {}
    """What the build measured on the way: losses before and after training, seconds a step, layers kept and why."""
    citation: str | None = None


class Variant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One immutable build of a model.

    A registered variant's `id` is its manifest digest, "sha256:<hex>". A variant that is only known from a publication
    has the id "published:<model>/<name>", no artifacts, and cannot be fetched.
    """

    id: str
    model_id: str
    name: str
    scheme: Scheme
    file_format: FileFormat
    weight_bytes: Figure
    """Bytes the weights occupy when loaded on one device."""
    parameters: int | None = None
    effective_bits: float | None = None
    """weight_bytes x 8 / parameters: what a weight really costs, embeddings, scales and norms included."""
    artifacts: tuple[Artifact, ...] = ()
    provenance: Provenance = Provenance()
    runtimes: tuple[str, ...] = ()
    """Runtimes known to load it; empty is unknown."""
    created_at: datetime | None = None

    @property
    def is_fetchable(self) -> bool:
        """True when the registry holds the files."""
        return bool(self.artifacts)

    @property
    def disk_bytes(self) -> int | None:
        """Bytes of all files, None when there are none."""
        return sum(artifact.size for artifact in self.artifacts) if self.artifacts else None
