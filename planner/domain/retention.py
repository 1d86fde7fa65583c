"""Retention: which variants keep their files, by a policy and by what needs them. Pure: the facts are arguments.

A policy only ever says what to keep. What it does not keep is deleted unless something needs it: an alias, now or within
the policy's window; the choice of a stored plan; a pin; a job that has not ended; or a kept variant, whose base and
baseline stay with it. `decide` is the one place where that is worked out, with every reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Final

import msgspec

from planner.domain.lifecycle import LifecycleState
from planner.errors import InvalidInput

POLICY_VERSION: Final = 1
MAX_PATTERNS: Final = 200
Days = Annotated[float, msgspec.Meta(ge=0, le=36_500)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Keep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is kept: a variant that any of these names is."""

    last: Count | None = None
    """The newest so many of each model."""
    younger_than_days: Days | None = None
    """Those registered less than so many days ago."""
    states: tuple[LifecycleState, ...] = ()
    """Those in one of these states."""
    names: tuple[Pattern, ...] = ()
    """Those whose name is like one of these patterns: `*-release`."""
    schemes: tuple[Pattern, ...] = ()
    """Those whose scheme is like one of these patterns: `bf16`, `fp8*`."""


class RetentionPolicy(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What keeps its files. Raises InvalidInput for a policy that keeps nothing, which would delete all that is not needed."""

    version: int
    keep: Keep
    models: tuple[Pattern, ...] = ("*",)
    """The policy is about variants of models like these; those of others are kept."""
    alias_history_days: Days = 0.0
    """What an alias pointed at within so many days is needed too."""

    def __post_init__(self) -> None:
        if self.version != POLICY_VERSION:
            raise InvalidInput("version", f"{self.version} is not readable here", allowed=str(POLICY_VERSION))
        if self.keep == Keep():
            raise InvalidInput("keep", "says nothing", allowed="at least one of " + ", ".join(_RULES))
        if LifecycleState.DELETED in self.keep.states:
            raise InvalidInput("keep.states", "`deleted` has no files to keep", allowed="any other state")
        for field, patterns in (
            ("models", self.models),
            ("keep.names", self.keep.names),
            ("keep.schemes", self.keep.schemes),
        ):
            if len(patterns) > MAX_PATTERNS:
                raise InvalidInput(
                    field, f"{len(patterns)} patterns are given", allowed=f"at most {MAX_PATTERNS}"
                )

    @property
    def digest(self) -> str:
        """Return the sha256 of what the policy says, the name by which deletions refer to it."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


_RULES: Final = Keep.__struct_fields__


class ReasonKind(StrEnum):
    """Why a variant is kept."""

    ALIAS = "alias"
    PLAN = "plan"
    PIN = "pin"
    JOB = "job"
    BASE = "base"
    """A kept variant was built from it."""
    BASELINE = "baseline"
    """A kept variant's losses are against it."""
    RULE = "rule"
    """The policy says so."""
    OUTSIDE = "outside"
    """The policy is not about its model."""


class Reason(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One reason to keep a variant, in words and by kind."""

    kind: ReasonKind
    detail: str


class StoredVariant(msgspec.Struct, frozen=True, kw_only=True):
    """A variant with files, as far as retention looks at it."""

    id: str
    model_id: str
    name: str
    scheme: str
    state: LifecycleState
    created_at: datetime | None
    bytes: int
    base_id: str | None = None
    """What it was built from."""
    baseline_ids: tuple[str, ...] = ()
    """What its evaluations compare it with."""
    has_files: bool = True
    """False for one that is only known from a publication: it is not decided on, and what it needs is kept."""
    is_baseline: bool = False
    """At its model's reference precision, so that losses of the model's other variants are against it."""


class RetentionDecision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What becomes of one variant; without reasons its files are deleted."""

    variant_id: str
    model_id: str
    name: str
    state: LifecycleState
    bytes: int
    reasons: tuple[Reason, ...] = ()

    @property
    def kept(self) -> bool:
        """True when its files stay."""
        return bool(self.reasons)


def decide(
    stored: Sequence[StoredVariant],
    policy: RetentionPolicy,
    *,
    needed: Mapping[str, Iterable[Reason]],
    now: datetime,
) -> tuple[RetentionDecision, ...]:
    """Return what becomes of every variant that has files, by model and name.

    `needed` has the reasons why aliases, plans, pins and jobs need a variant, by its id.
    """
    reasons: dict[str, set[Reason]] = {each.id: set(needed.get(each.id, ())) for each in stored}
    newest = _newest(stored, policy)
    for each in stored:
        reasons[each.id] |= set(_rules(each, policy, newest=each.id in newest, now=now))
    _keep_with(stored, reasons)
    return tuple(
        RetentionDecision(
            variant_id=each.id,
            model_id=each.model_id,
            name=each.name,
            state=each.state,
            bytes=each.bytes,
            reasons=tuple(sorted(reasons[each.id])),
        )
        for each in sorted(stored, key=lambda each: (each.model_id, each.name, each.id))
        if each.has_files
    )


def _newest(stored: Iterable[StoredVariant], policy: RetentionPolicy) -> frozenset[str]:
    if policy.keep.last is None:
        return frozenset()
    by_model: dict[str, list[StoredVariant]] = {}
    for each in stored:
        if each.has_files:
            by_model.setdefault(each.model_id, []).append(each)
    return frozenset(
        each.id
        for group in by_model.values()
        for each in sorted(group, key=_age_key, reverse=True)[: policy.keep.last]
    )


def _age_key(each: StoredVariant) -> tuple[float, str]:
    return (each.created_at.timestamp() if each.created_at else 0.0, each.id)


def _rules(each: StoredVariant, policy: RetentionPolicy, *, newest: bool, now: datetime) -> Iterable[Reason]:
    keep = policy.keep
    if not any(fnmatchcase(each.model_id, pattern) for pattern in policy.models):
        yield Reason(kind=ReasonKind.OUTSIDE, detail=f"the policy is not about {each.model_id}")
    if newest:
        yield _rule(f"among the newest {keep.last} of {each.model_id}")
    days = keep.younger_than_days
    if days is not None and each.created_at is not None and now - each.created_at < timedelta(days=days):
        yield _rule(f"younger than {days:g} days")
    if each.state in keep.states:
        yield _rule(f"is {each.state.value}")
    for pattern in keep.names:
        if fnmatchcase(each.name, pattern):
            yield _rule(f"its name is like {pattern}")
    for pattern in keep.schemes:
        if fnmatchcase(each.scheme, pattern):
            yield _rule(f"its scheme is like {pattern}")


def _rule(detail: str) -> Reason:
    return Reason(kind=ReasonKind.RULE, detail=detail)


def _keep_with(stored: Sequence[StoredVariant], reasons: Mapping[str, set[Reason]]) -> None:
    """Keep the bases and baselines of what is kept, and theirs, until nothing is added."""
    by_id = {each.id: each for each in stored}
    baselines: dict[str, list[str]] = {}
    for each in stored:
        if each.is_baseline:
            baselines.setdefault(each.model_id, []).append(each.id)
    waiting = [each.id for each in stored if reasons[each.id] or not each.has_files]
    done: set[str] = set()
    wanted_by: dict[tuple[str, ReasonKind], list[str]] = {}
    while waiting:
        kept = by_id[waiting.pop()]
        if kept.id in done:
            continue
        done.add(kept.id)
        for other, kind in _wanted(kept, baselines):
            if other != kept.id and other in by_id:
                wanted_by.setdefault((other, kind), []).append(kept.name)
                waiting.append(other)
    for (other, kind), names in wanted_by.items():
        reasons[other].add(Reason(kind=kind, detail=f"{kind.value} of {_some(names)}"))


def _wanted(kept: StoredVariant, baselines: Mapping[str, Sequence[str]]) -> Iterable[tuple[str, ReasonKind]]:
    if kept.base_id is not None:
        yield kept.base_id, ReasonKind.BASE
    own = () if kept.is_baseline else baselines.get(kept.model_id, ())
    for other in dict.fromkeys((*kept.baseline_ids, *own)):
        yield other, ReasonKind.BASELINE


def _some(names: Sequence[str]) -> str:
    """Return the names of a few: the first one in order and how many others."""
    first, count = min(names), len(names) - 1
    return f"{first} and {count} more" if count else first
