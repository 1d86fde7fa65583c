"""Importing other tools' results: the files with what they do not say, and the report of what was understood."""

from __future__ import annotations

import msgspec

from planner.domain.evaluation import Evaluation
from planner.domain.profile import Profile
from planner.ingest.binding import File
from planner.ingest.imported import Finding

MAX_FILES = 200
"""Most files of one import: lm-eval writes one of samples for every task."""


class ResultFile(msgspec.Struct, frozen=True, kw_only=True):
    """A result file as a tool wrote it. `of_baseline` files are of the baseline's run."""

    name: str
    content: bytes
    of_baseline: bool = False


class ImportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What result files do not say. Names are never read from file names."""

    variant: str | None = None
    baseline: str | None = None
    """Variant that the baseline's run, or the tool's own comparison, was of."""
    device: str | None = None
    runtime: str | None = None
    """Engine, version and mode, such as `vllm 0.33.0` or `transformers 5.23.0 eager`."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    concurrency: int | None = None
    devices: int | None = None
    """Tensor-parallel degree."""
    dry_run: bool = False


class StoredEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """One profile or evaluation that was made; `created` False when it was known, or in a dry run."""

    kind: str
    id: str
    created: bool


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was understood, what the lints say of it, and what was, or would be, stored."""

    format: str
    tool: str
    variant_id: str
    baseline_variant_id: str | None
    files: tuple[File, ...]
    findings: tuple[Finding, ...]
    profiles: tuple[Profile, ...]
    evaluations: tuple[Evaluation, ...]
    """Without their records of items and documents."""
    stored: tuple[StoredEvidence, ...]
    dry_run: bool
