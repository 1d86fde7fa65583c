"""Evaluations: what variants lose, added once and never changed; each one refreshes its variant's overall loss."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, select, update

from planner.domain.evaluation import Document, Evaluation
from planner.domain.listing import Page
from planner.domain.loss import LossKind
from planner.domain.loss_basis import assess
from planner.domain.webhook import EventKind
from planner.errors import Conflict, NotFound
from planner.registry import events, kinds, variant_lookup
from planner.registry.checks import DEFAULT_LIMIT, check_document, check_id, check_name, check_time
from planner.registry.kinds import REGISTERED, Kind, chunks
from planner.registry.nearest import shortened
from planner.registry.pages import Keyset, fetch
from planner.registry.tables import Evaluations, ItemRecords, Variants
from planner.registry.transaction import Transaction, WriteTransaction


def row(evaluation: Evaluation) -> dict[str, Any]:
    """Return the columns of `evaluation`. Raises InvalidInput."""
    check_id("evaluation.id", evaluation.id)
    check_id("evaluation.variant_id", evaluation.variant_id)
    check_name("evaluation.task", evaluation.task)
    check_name("evaluation.metric", evaluation.metric)
    if evaluation.measured_at is not None:
        check_time("evaluation.measured_at", evaluation.measured_at)
    check_document("evaluation", evaluation)
    return {
        "id": evaluation.id,
        "variant_id": evaluation.variant_id,
        "task": evaluation.task.casefold(),
        "metric": evaluation.metric,
        "basis": evaluation.basis.value,
        "measured_at": evaluation.measured_at,
        "document": msgspec.structs.replace(evaluation, documents=(), outcomes=()),
        "records": _records(evaluation),
    }


KIND: Final = Kind(name="evaluation", struct=Evaluation, table=Evaluations, row=row)


def add(tx: WriteTransaction, evaluation: Evaluation, *, source: str = REGISTERED) -> bool:
    """Store the evaluation; return False when the same one is already there.

    Raises InvalidInput, NotFound for an unknown variant, and Conflict when the id holds another evaluation.
    """
    check_id("evaluation.id", evaluation.id)
    tx.lock_revision()
    before = _find(tx, evaluation.id)
    if before is not None:
        if before != evaluation:
            raise Conflict(f"evaluation `{evaluation.id}` is already registered with other content")
        return False
    variant_lookup.require(tx, evaluation.variant_id)
    kinds.add(tx, KIND, [evaluation], source=check_name("source", source))
    refresh_loss(tx, [evaluation.variant_id])
    happened = {
        "kind": "evaluation",
        "evidence": evaluation.id,
        "variant": evaluation.variant_id,
        "task": evaluation.task,
        "basis": evaluation.basis.value,
    }
    events.emit(tx, EventKind.EVIDENCE_ADDED, happened)
    return True


def get(tx: Transaction, id_: str) -> Evaluation:
    """Return the evaluation with this id, its records of documents and items included. Raises NotFound."""
    found = _find(tx, check_id("evaluation", id_))
    if found is None:
        raise NotFound("evaluation", shortened(id_))
    return found


def page(
    tx: Transaction,
    *,
    variant_id: str | None = None,
    task: str | None = None,
    documents: bool = False,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[Evaluation]:
    """Return evaluations by id, of one variant and task (in any letter case) where these are given.

    Their records of documents and items, which can be large, are left out unless `documents` is true. Raises InvalidInput.
    """
    statement = select(Evaluations.document)
    if variant_id is not None:
        statement = statement.where(Evaluations.variant_id == check_id("variant_id", variant_id))
    if task is not None:
        statement = statement.where(Evaluations.task == check_name("task", task).casefold())
    keyset = Keyset(
        Evaluations.id, Evaluations.id, type_=str, scope=("evaluations", variant_id, task, documents)
    )
    if not documents:
        return fetch(tx, statement, keyset, lambda row: row.document, limit=limit, cursor=cursor)
    whole = statement.add_columns(Evaluations.records)
    return fetch(tx, whole, keyset, lambda row: _whole(row[0], row[1]), limit=limit, cursor=cursor)


def refresh_loss(tx: WriteTransaction, variant_ids: Iterable[str]) -> None:
    """Bring the variants' overall relative loss up to date with their evaluations."""
    for chunk in chunks(variant_ids):
        by_variant: defaultdict[str, list[Evaluation]] = defaultdict(list)
        statement = (
            select(Evaluations.variant_id, Evaluations.document)
            .where(Evaluations.variant_id.in_(chunk))
            .order_by(Evaluations.id)
        )
        for variant_id, document in tx.connection.execute(statement):
            by_variant[variant_id].append(document)
        losses: list[dict[str, Any]] = []
        for variant_id in chunk:
            basis = assess(by_variant[variant_id], kind=LossKind.RELATIVE, task=None)
            figure = basis.figure if basis else None
            losses.append({"variant": variant_id, "loss": figure and figure.value, "figure": figure})
        tx.connection.execute(
            update(Variants)
            .where(Variants.id == bindparam("variant"))
            .values(loss=bindparam("loss"), loss_figure=bindparam("figure")),
            losses,
        )


def _find(tx: Transaction, id_: str) -> Evaluation | None:
    statement = select(Evaluations.document, Evaluations.records).where(Evaluations.id == id_)
    found = tx.connection.execute(statement).one_or_none()
    return None if found is None else _whole(found[0], found[1])


def _records(evaluation: Evaluation) -> tuple[Document, ...] | ItemRecords | None:
    if evaluation.outcomes:
        return ItemRecords(outcomes=evaluation.outcomes, documents=evaluation.documents)
    return evaluation.documents or None


def _whole(document: Evaluation, records: tuple[Document, ...] | ItemRecords | None) -> Evaluation:
    if isinstance(records, ItemRecords):
        return msgspec.structs.replace(document, documents=records.documents, outcomes=records.outcomes)
    return msgspec.structs.replace(document, documents=records) if records else document
