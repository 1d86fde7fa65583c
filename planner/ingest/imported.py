"""What was read from a result file, before it is known which variant it is about. No I/O.

Units are the domain's already (seconds, bytes, shares); what the file leaves open is None and asked for when the drafts
are bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from planner.domain.evaluation import Fidelity
from planner.domain.profile import Distribution, Fact, MemoryUse, Stability
from planner.domain.runtime import Runtime


class Level(StrEnum):
    """How a lint's finding bears on what is stored."""

    WARNING = "warning"
    """Stored, with the finding beside it."""
    REFUSAL = "refusal"
    """What the finding is about is not stored."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a lint says about a file: `lint` is its code, L1 to L22 (`planner.ingest.lints`)."""

    lint: str
    level: Level
    message: str


class Load(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A workload point as far as the file tells it; what is None is asked for."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    concurrency: int | None = None
    tokens_per_request: float | None = None
    """Input and output tokens together, where only the sum is known."""


class Timing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was timed at one workload point. Seconds, tokens and requests per second."""

    load: Load
    ttft: Distribution | None = None
    tpot: Distribution | None = None
    itl: Distribution | None = None
    end_to_end: Distribution | None = None
    output_rate: Distribution | None = None
    request_rate: Distribution | None = None
    error_share: float | None = None
    memory: MemoryUse = MemoryUse()
    stability: Stability | None = None
    facts: Mapping[str, Fact] = {}


class ProfileDraft(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Speed and memory of one run of a tool."""

    timings: tuple[Timing, ...]
    protocol: str
    """How the figures are defined: what the tool calls TTFT, TPOT and ITL."""
    runtime: Runtime | None = None
    device_name: str | None = None
    """As the file writes it."""
    devices: int | None = None
    model_name: str | None = None
    model_bytes: int | None = None
    measured_at: datetime | None = None
    versions: Mapping[str, str] = {}
    facts: Mapping[str, Fact] = {}
    synthetic_weights: bool = False
    doubt: str | None = None


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One item of a task as one model answered it."""

    key: str
    fingerprint: str
    """Hash over the item, its prompt and its target: two runs are paired only where it is the same."""
    score: float | None = None
    nll: float | None = None
    units: int | None = None
    """Words or bytes that `nll` (nats) is over."""
    answer: str
    """Hash over everything the model returned."""
    length: int | None = None
    """Characters generated; None for items that ask for none."""


class TaskScore(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One metric of one task of one run."""

    task: str
    metric: str
    higher_is_better: bool
    score: float
    stderr: float | None = None
    items: int | None = None
    original_items: int | None = None
    """Items the task has; more than `items` where the run was cut to a subset."""
    chance: float | None = None
    is_choice: bool = False
    bounded: bool = True
    """Whether the score is a share, 0 to 1."""
    identity: Mapping[str, str] = {}
    """Settings without whose equality two scores cannot be compared."""
    batch_size: str | None = None
    records: tuple[Item, ...] = ()
    mean_length: float | None = None
    """Mean output length, in tokens or characters, when no records hold it."""
    dataset_digest: str | None = None


class LossDraft(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A comparison the tool itself made, item by item, against a baseline."""

    task: str
    metric: str
    baseline_score: float
    variant_score: float
    relative_loss: float
    relative_stderr: float | None
    fidelity: Fidelity
    protocol: str
    items: int | None = None
    doubt: str | None = None


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """A file of per-item records, to be joined with the results of the same run."""

    task: str | None
    """As the tool itself wrote it into the file's name; checked against the results by their scores."""
    name: str
    """Of the file."""
    scores: tuple[TaskScore, ...]


class Imported(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything one file, or the files of one run together, say."""

    format: str
    tool: str
    """The tool with its version, as far as the file tells."""
    profiles: tuple[ProfileDraft, ...] = ()
    scores: tuple[TaskScore, ...] = ()
    losses: tuple[LossDraft, ...] = ()
    samples: tuple[Samples, ...] = ()
    memory: MemoryUse | None = None
    """Memory terms of a log that belong to the speed of another file, or to a workload that is asked for."""
    memory_draft: ProfileDraft | None = None
    """What else a log with memory terms says: runtime, device, protocol."""
    server_requests: int | None = None
    """Requests the server's own counters saw (lint L20)."""
    protocol: str | None = None
    """How scores were made."""
    measured_at: datetime | None = None
    versions: Mapping[str, str] = {}
    facts: Mapping[str, Fact] = {}
    findings: tuple[Finding, ...] = ()
