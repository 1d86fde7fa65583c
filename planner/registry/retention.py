"""Retention: the facts that decide which variants keep their files, read in one transaction, and the deletion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from typing import Any, cast

import msgspec
from sqlalchemy import Text, select, type_coerce

from planner.domain.job import Job, JobState
from planner.domain.lifecycle import LifecycleState
from planner.domain.model import Model
from planner.domain.retention import Reason, ReasonKind, RetentionDecision, StoredVariant
from planner.domain.variant import Variant
from planner.errors import InvalidInput, NotFound
from planner.registry import lifecycle, variant_lookup
from planner.registry.tables import (
    Aliases,
    AliasMoves,
    Evaluations,
    Jobs,
    Models,
    Pins,
    Plans,
    Variants,
    VariantStates,
)
from planner.registry.transaction import Transaction, WriteTransaction

ROWS_AT_ONCE = 200


class _Chosen(msgspec.Struct):
    variant_id: str


class _Answer(msgspec.Struct):
    chosen: _Chosen | None = None


class _StoredPlan(msgspec.Struct):
    """The part of a plan that names what it chose; the rest, which is most of it, is not decoded."""

    id: str
    result: _Answer


def stored(tx: Transaction, is_baseline: Callable[[Variant, Model], bool]) -> list[StoredVariant]:
    """Return every variant whose files are not deleted, with what it was built from and compared with."""
    states: dict[str, LifecycleState] = {
        row.id: LifecycleState(row.state)
        for row in tx.connection.execute(select(VariantStates.id, VariantStates.state))
    }
    models = {model.id: model for model in tx.connection.execute(select(Models.document)).scalars()}
    against: dict[str, set[str]] = {}
    for row in _streamed(tx, select(Evaluations.variant_id, Evaluations.document)):
        if row.document.baseline_variant_id is not None:
            against.setdefault(row.variant_id, set()).add(row.document.baseline_variant_id)
    found: list[StoredVariant] = []
    for row in _streamed(tx, select(Variants.document)):
        variant: Variant = row.document
        state = states.get(variant.id, LifecycleState.ACTIVE)
        if state.has_files:
            found.append(
                StoredVariant(
                    id=variant.id,
                    model_id=variant.model_id,
                    name=variant.name,
                    scheme=variant.scheme.name,
                    state=state,
                    created_at=variant.created_at,
                    bytes=variant.disk_bytes or 0,
                    base_id=variant.provenance.base_variant_id,
                    baseline_ids=tuple(sorted(against.get(variant.id, ()))),
                    has_files=variant.is_fetchable,
                    is_baseline=is_baseline(variant, models[variant.model_id]),
                )
            )
    return found


def needed(tx: Transaction, *, alias_history: timedelta, now: datetime) -> dict[str, list[Reason]]:
    """Return by variant why aliases, stored plans, pins and jobs that have not ended need its files."""
    found: dict[str, list[Reason]] = {}
    sources = (
        _of_aliases(tx),
        _of_alias_history(tx, since=now - alias_history),
        _of_plans(tx),
        _of_pins(tx),
        _of_jobs(tx),
    )
    for source in sources:
        for variant_id, reason in source:
            reasons = found.setdefault(variant_id, [])
            if reason not in reasons:
                reasons.append(reason)
    return found


def delete(
    tx: WriteTransaction, decisions: Iterable[RetentionDecision], *, reason: str, actor: str, now: datetime
) -> list[str]:
    """Mark the variants that nothing keeps as deleted and return their ids; their records and evidence stay."""
    gone = [each.variant_id for each in decisions if not each.kept]
    for variant_id in gone:
        lifecycle.put(tx, variant_id, LifecycleState.DELETED, reason=reason, actor=actor, now=now)
    return gone


def files(tx: Transaction, variant_ids: frozenset[str] | set[str]) -> tuple[dict[str, int], set[str]]:
    """Return the files of these variants with their sizes, and the files of all others that are not deleted."""
    deleted = lifecycle.in_state(tx, LifecycleState.DELETED)
    sizes: dict[str, int] = {}
    others: set[str] = set()
    for row in _streamed(tx, select(Variants.document)):
        variant: Variant = row.document
        if variant.id in variant_ids:
            sizes |= {artifact.sha256: artifact.size for artifact in variant.artifacts}
        elif variant.id not in deleted:
            others.update(artifact.sha256 for artifact in variant.artifacts)
    return sizes, others


def _streamed(tx: Transaction, statement: Any) -> Iterator[Any]:
    """Yield rows a few at a time: documents of all variants or plans need not fit in memory at once."""
    yield from tx.connection.execute(statement.execution_options(yield_per=ROWS_AT_ONCE))


def _of_aliases(tx: Transaction) -> Iterator[tuple[str, Reason]]:
    for row in tx.connection.execute(select(Aliases.name, Aliases.variant_id)):
        yield row.variant_id, Reason(kind=ReasonKind.ALIAS, detail=f"{row.name} points at it")


def _of_alias_history(tx: Transaction, *, since: datetime) -> Iterator[tuple[str, Reason]]:
    moves = tx.connection.execute(
        select(AliasMoves.name, AliasMoves.variant_id, AliasMoves.moved_at).order_by(
            AliasMoves.name, AliasMoves.number
        )
    )
    for name, rows in groupby(moves, key=lambda row: row.name):
        in_order = list(rows)
        for before, after in pairwise(in_order):
            if before.variant_id is not None and after.moved_at > since:
                until = f"{after.moved_at:%Y-%m-%d}"
                detail = f"{name} pointed at it until {until}"
                yield before.variant_id, Reason(kind=ReasonKind.ALIAS, detail=detail)


def _of_plans(tx: Transaction) -> Iterator[tuple[str, Reason]]:
    decode = msgspec.json.Decoder(_StoredPlan).decode
    statement = select(type_coerce(Plans.document, Text).label("document")).where(
        Plans.outcome == "recommended"
    )
    seen: set[str] = set()
    for row in _streamed(tx, statement.order_by(Plans.as_of.desc(), Plans.id)):
        plan = decode(row.document)
        if plan.result.chosen is not None and plan.result.chosen.variant_id not in seen:
            seen.add(plan.result.chosen.variant_id)  # the newest plan is reason enough
            yield (
                plan.result.chosen.variant_id,
                Reason(kind=ReasonKind.PLAN, detail=f"plan {plan.id} chose it"),
            )


def _of_pins(tx: Transaction) -> Iterator[tuple[str, Reason]]:
    for row in tx.connection.execute(select(Pins.variant_id, Pins.reason, Pins.actor)):
        yield row.variant_id, Reason(kind=ReasonKind.PIN, detail=f"pinned by {row.actor}: {row.reason}")


def _of_jobs(tx: Transaction) -> Iterator[tuple[str, Reason]]:
    """Yield whatever variant a job that has not ended may mean, by any text of its description."""
    open_states = [state.value for state in JobState if not state.is_final]
    statement = select(Jobs.document).where(Jobs.state.in_(open_states))
    for row in _streamed(tx, statement):
        job: Job = row.document
        for text in dict.fromkeys(_texts(job.spec)):
            for variant_id in _meant(tx, text):
                yield (
                    variant_id,
                    Reason(kind=ReasonKind.JOB, detail=f"{job.kind.value} job {job.id} is {job.state.value}"),
                )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in cast("Mapping[str, Any]", value).values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in cast("list[Any]", value):
            yield from _texts(item)


def _meant(tx: Transaction, text: str) -> tuple[str, ...]:
    try:
        return (variant_lookup.get(tx, text).id,)
    except NotFound:
        return ()
    except InvalidInput as error:  # several variants are meant, or it can be no name
        return tuple(error.details.get("ids", ()))
