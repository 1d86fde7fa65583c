"""The table of gates' reports."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from planner.gate.report import GateReport
from planner.registry.columns import Document
from planner.registry.tables import Base


class Gates(Base):
    """Reports, never changed. They refer to nothing: the history outlives what it tells of."""

    __tablename__ = "gates"

    id: Mapped[str] = mapped_column(primary_key=True)
    variant_id: Mapped[str]
    verdict: Mapped[str]
    judged_at: Mapped[datetime]
    document: Mapped[GateReport] = mapped_column(Document[GateReport](GateReport))

    __table_args__ = (Index(None, "judged_at", "id"), Index(None, "variant_id", "judged_at", "id"))
