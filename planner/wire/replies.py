"""Bodies of replies that are neither a domain noun nor a row."""

from __future__ import annotations

import msgspec

from planner.domain.explanation import Finding, Needed, Outranked
from planner.domain.outcome import Candidate, Elimination, Plan
from planner.domain.scenario import Effective, Scenario
from planner.domain.variant import Variant
from planner.wire.problem import Problem


class Understanding(msgspec.Struct, frozen=True, kw_only=True):
    """How a question in words was read: its scenario, the canonical wording, and each effective constraint."""

    scenario: Scenario
    echo: str
    understood: tuple[Effective, ...]


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one question of a batch: a stored plan, or what was wrong with the question."""

    plan: Plan | None = None
    problem: Problem | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """The answers to the questions of a batch, in their order."""

    answers: tuple[BatchAnswer, ...]


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """A stored plan computed again at its own revision and time; `identical` compares the results byte for byte."""

    plan_id: str
    identical: bool
    stored_digest: str
    replayed_digest: str


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Why a variant is, or is not, the answer. `candidate` carries every check; `elimination` the one that decided."""

    variant_id: str
    chosen: bool
    candidate: Candidate | None
    elimination: Elimination | None
    findings: tuple[Finding, ...] = ()
    """Every constraint as asked and as in effect, with figure, evidence and verdict."""
    outranked: Outranked | None = None
    """Which variant is ranked before this one, where it satisfies everything and is not chosen."""
    needed: tuple[Needed, ...] = ()
    """The least change of each constraint it fails that would let it pass."""


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What registering files did, or, when `dry_run`, would do.

    In a dry run against a server that lacks some of the bytes, `variant` is None: the headers were not read.
    """

    digest: str
    created: bool
    """False when the same bytes were registered before: nothing changed."""
    variant: Variant | None
    model_created: bool
    bytes_total: int
    bytes_new: int
    """Bytes that were not in the store before."""
    files_new: int
    missing: tuple[str, ...]
    """sha256 of files whose bytes are still to be uploaded."""
    warnings: tuple[str, ...]
    dry_run: bool


class ReferenceProgress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the answer to registering by reference: how far it is in bytes, and on the last line what came of it."""

    done: int = 0
    total: int = 0
    registration: Registration | None = None
    problem: Problem | None = None


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A profile or evaluation that was handed in; `created` False when it was known already."""

    id: str
    created: bool


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A stored file; `created` False when the same bytes were there already."""

    sha256: str
    size: int
    created: bool


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """How far an upload has come, in bytes from its beginning; `complete` when the file is stored and verified."""

    sha256: str
    size: int
    offset: int
    complete: bool


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the server and whether it works."""

    ok: bool
    detail: str | None = None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the server can do its work, and what it is."""

    ok: bool
    version: str
    database: Part
    store: Part
    revision: int | None
    """Revision of the registry's content; it grows with every change that can alter an answer."""
