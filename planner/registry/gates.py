"""Gates: reports of what was judged, by what policy, on what evidence, and what was done about it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import insert, select

from planner.domain.listing import Page
from planner.domain.webhook import EventKind
from planner.errors import NotFound
from planner.gate.report import GateReport, GateVerdict
from planner.registry import events
from planner.registry.checks import DEFAULT_LIMIT, check_document, check_id, check_time
from planner.registry.gate_tables import Gates
from planner.registry.nearest import shortened
from planner.registry.pages import Keyset, fetch
from planner.registry.transaction import Transaction, WriteTransaction

_EVENTS: Final = {
    GateVerdict.PASS: EventKind.GATE_PASSED,
    GateVerdict.FAIL: EventKind.GATE_FAILED,
    GateVerdict.INCONCLUSIVE: EventKind.GATE_INCONCLUSIVE,
}


def add(tx: WriteTransaction, report: GateReport) -> None:
    """Keep a report, without the items that changed, and tell who wants to know. Raises InvalidInput."""
    check_id("gate.id", report.id)
    check_id("gate.variant_id", report.variant_id)
    check_time("gate.judged_at", report.judged_at)
    kept = msgspec.structs.replace(report, flips=())
    check_document("gate", kept)
    row = {
        "id": kept.id,
        "variant_id": kept.variant_id,
        "verdict": kept.verdict.value,
        "judged_at": kept.judged_at,
        "document": kept,
    }
    tx.connection.execute(insert(Gates).values(row))
    told = {
        "gate": report.id,
        "variant": report.variant_id,
        "model": report.model_id,
        "name": report.name,
        "policy": report.policy.name,
        "against": report.against,
        "verdict": report.verdict.value,
        "sentence": report.sentence,
    }
    events.emit(tx, _EVENTS[report.verdict], told)


def get(tx: Transaction, id_: str) -> GateReport:
    """Return the report with this id. Raises NotFound."""
    statement = select(Gates.document).where(Gates.id == check_id("gate", id_))
    report = tx.connection.execute(statement).scalar_one_or_none()
    if report is None:
        raise NotFound("gate", shortened(id_))
    return report


def page(
    tx: Transaction,
    *,
    variant_id: str | None = None,
    verdict: GateVerdict | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[GateReport]:
    """Return reports, the newest first, of one variant and with one verdict where these are given. Raises InvalidInput."""
    statement = select(Gates.document)
    if variant_id is not None:
        statement = statement.where(Gates.variant_id == check_id("variant_id", variant_id))
    if verdict is not None:
        statement = statement.where(Gates.verdict == verdict.value)
    keyset = Keyset(
        Gates.judged_at, Gates.id, type_=datetime, scope=("gates", variant_id, verdict), descending=True
    )
    return fetch(tx, statement, keyset, lambda row: row.document, limit=limit, cursor=cursor)
