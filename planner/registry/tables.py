"""Tables of the registry.

A domain struct is kept whole in `document`, which is the only truth about it; the other columns repeat what queries
need. Rows a plan depends on (`Revised`) carry the revision at which their content appeared; content that was replaced
or withdrawn moves to `past_rows`, so that every earlier revision can be read again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import BigInteger, ForeignKey, Index, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from planner.domain.device import Device
from planner.domain.evaluation import Document as DocumentRecord
from planner.domain.evaluation import Evaluation, ItemOutcome
from planner.domain.figure import Figure
from planner.domain.job import Job
from planner.domain.job_worker import Worker
from planner.domain.lifecycle import VariantState
from planner.domain.model import Model
from planner.domain.outcome import Plan
from planner.domain.profile import Profile
from planner.domain.variant import Variant
from planner.domain.webhook import Event, Webhook
from planner.registry.columns import Document, OrderedText, RowNumber, UTCDateTime


class Base(DeclarativeBase):
    """Declarative base: names every constraint, and maps Python types to the registry's column types."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map = {str: OrderedText, int: BigInteger, datetime: UTCDateTime}  # noqa: RUF012 - SQLAlchemy's API


class Revised(Base):
    """A row that plans depend on."""

    __abstract__ = True

    id: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    revision: Mapped[int] = mapped_column(index=True)
    document: Mapped[Any] = mapped_column(Document[Any](Any))


class Counters(Base):
    """The two numbers that only grow: the revision, and the fencing token of leases."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int]


class CatalogueSyncs(Base):
    """Which built-in catalogue was loaded at which revision; the newest is the one in force."""

    __tablename__ = "catalogue_syncs"

    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str]


class PastRows(Base):
    """Content that was in force from `revision` until `superseded` (exclusive)."""

    __tablename__ = "past_rows"

    kind: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    superseded: Mapped[int]
    document: Mapped[msgspec.Raw] = mapped_column(Document[msgspec.Raw](msgspec.Raw))

    __table_args__ = (Index(None, "kind", "superseded"),)


class Names(Base):
    """Every lower-case name a model or device answers to now."""

    __tablename__ = "names"

    kind: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)


class Models(Revised):
    """Base models."""

    __tablename__ = "models"

    name_key: Mapped[str]
    family: Mapped[str]
    search_text: Mapped[str]
    document: Mapped[Model] = mapped_column(Document[Model](Model))

    __table_args__ = (Index(None, "name_key", "id"),)


class Devices(Revised):
    """Device types."""

    __tablename__ = "devices"

    name_key: Mapped[str]
    kind: Mapped[str]
    search_text: Mapped[str]
    document: Mapped[Device] = mapped_column(Document[Device](Device))

    __table_args__ = (Index(None, "name_key", "id"),)


class Variants(Revised):
    """Variants. `loss`, `loss_figure` and `profile_count` follow the variant's evidence; the rest never changes."""

    __tablename__ = "variants"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    name_key: Mapped[str]
    scheme: Mapped[str]
    scheme_terms: Mapped[str]
    """Every word the scheme answers to, each between bars: "|4bit|int4|w4a16|"."""
    nominal_bits: Mapped[int]
    effective_bits: Mapped[float | None]
    weight_bytes: Mapped[int]
    file_format: Mapped[str]
    fetchable: Mapped[bool]
    created_at: Mapped[datetime | None]
    search_text: Mapped[str]
    loss: Mapped[float | None]
    loss_figure: Mapped[Figure | None] = mapped_column(Document[Figure](Figure))
    profile_count: Mapped[int] = mapped_column(default=0)
    document: Mapped[Variant] = mapped_column(Document[Variant](Variant))

    __table_args__ = (
        Index(None, "name_key", "id"),
        Index(None, "model_id", "name_key", "id"),
        Index(None, "weight_bytes", "id"),
        Index(None, "effective_bits", "id"),
        Index(None, "created_at", "id"),
        Index(None, "loss", "id"),
    )


class Blobs(Base):
    """Files the artifact store holds."""

    __tablename__ = "blobs"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int]


class Profiles(Revised):
    """Latency and memory of variants on devices."""

    __tablename__ = "profiles"

    variant_id: Mapped[str] = mapped_column(ForeignKey("variants.id"))
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"))
    runtime: Mapped[str]
    basis: Mapped[str]
    measured_at: Mapped[datetime | None]
    document: Mapped[Profile] = mapped_column(Document[Profile](Profile))

    __table_args__ = (Index(None, "variant_id", "id"), Index(None, "device_id", "id"))


class ItemRecords(msgspec.Struct, frozen=True, kw_only=True):
    """Per-item records of a task; those of documents are a plain list."""

    outcomes: tuple[ItemOutcome, ...]
    documents: tuple[DocumentRecord, ...] = ()


class Evaluations(Revised):
    """Losses of variants. The records of documents or items, which can be large and plans never read, lie in `records`."""

    __tablename__ = "evaluations"

    variant_id: Mapped[str] = mapped_column(ForeignKey("variants.id"))
    task: Mapped[str]
    metric: Mapped[str]
    basis: Mapped[str]
    measured_at: Mapped[datetime | None]
    document: Mapped[Evaluation] = mapped_column(Document[Evaluation](Evaluation))
    records: Mapped[tuple[DocumentRecord, ...] | ItemRecords | None] = mapped_column(
        Document[tuple[DocumentRecord, ...] | ItemRecords](tuple[DocumentRecord, ...] | ItemRecords)
    )

    __table_args__ = (Index(None, "variant_id", "id"), Index(None, "task", "id"))


class Jobs(Base):
    """Work for workers, first in first out by `number`."""

    __tablename__ = "jobs"

    number: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    state: Mapped[str]
    requires_key: Mapped[str]
    """JSON list of what is required of a worker, sorted: jobs that the same workers can run share it."""
    lease_expires_at: Mapped[datetime | None]
    kept_from_worker: Mapped[str | None]
    """The worker that failed last: until `kept_until` others come first."""
    kept_until: Mapped[datetime | None]
    document: Mapped[Job] = mapped_column(Document[Job](Job))

    __table_args__ = (
        Index(None, "state", "requires_key", "number"),
        Index(None, "state", "lease_expires_at"),
    )


class JobLogChunks(Base):
    """What attempts printed, in stretches of bytes; the oldest ones are dropped beyond a bound."""

    __tablename__ = "job_log_chunks"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    start_byte: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    end_byte: Mapped[int]
    text: Mapped[str]


class Workers(Base):
    """Workers by the name they give."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    last_seen_at: Mapped[datetime] = mapped_column(index=True)
    document: Mapped[Worker] = mapped_column(Document[Worker](Worker))


class Plans(Base):
    """Stored recommendations; never changed."""

    __tablename__ = "plans"

    id: Mapped[str] = mapped_column(primary_key=True)
    as_of: Mapped[datetime]
    outcome: Mapped[str]
    revision: Mapped[int]
    document: Mapped[Plan] = mapped_column(Document[Plan](Plan))

    __table_args__ = (Index(None, "as_of", "id"),)


class Aliases(Base):
    """Where each alias points now."""

    __tablename__ = "aliases"

    name: Mapped[str] = mapped_column(primary_key=True)
    variant_id: Mapped[str] = mapped_column(ForeignKey("variants.id"), index=True)
    number: Mapped[int]
    actor: Mapped[str]
    moved_at: Mapped[datetime]
    protected: Mapped[bool] = mapped_column(default=False)


class AliasMoves(Base):
    """Every move of every alias; they outlive it. `variant_id` is NULL for the move that deleted it."""

    __tablename__ = "alias_moves"

    name: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    variant_id: Mapped[str | None]
    previous_variant_id: Mapped[str | None]
    actor: Mapped[str]
    moved_at: Mapped[datetime]


class VariantStates(Revised):
    """The present state of each variant that was ever put in one; `id` is the variant's."""

    __tablename__ = "variant_states"

    state: Mapped[str]
    document: Mapped[VariantState] = mapped_column(Document[VariantState](VariantState))

    __table_args__ = (Index(None, "state", "id"),)


class StateChanges(Base):
    """Every state of every variant, never changed."""

    __tablename__ = "state_changes"

    variant_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[VariantState] = mapped_column(Document[VariantState](VariantState))


class Pins(Base):
    """Variants that are kept whatever a retention policy says, each with who wants it and why."""

    __tablename__ = "pins"

    id: Mapped[str] = mapped_column(primary_key=True)
    variant_id: Mapped[str] = mapped_column(ForeignKey("variants.id"), index=True)
    reason: Mapped[str]
    actor: Mapped[str]
    pinned_at: Mapped[datetime]


class Downloads(Base):
    """Loads through the Hugging Face protocol: one row per client, repository and variant, not one per file.

    The log refers to nothing: it outlives what it tells of.
    """

    __tablename__ = "downloads"

    id: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    last_at: Mapped[datetime]
    client: Mapped[str]
    user_agent: Mapped[str]
    repository: Mapped[str] = mapped_column(index=True)
    revision: Mapped[str]
    variant_id: Mapped[str]
    plan_id: Mapped[str | None]
    principal: Mapped[str | None]

    __table_args__ = (
        Index(None, "started_at", "id"),
        Index(None, "variant_id", "started_at", "id"),
        Index(None, "client", "repository", "last_at"),
    )


class Events(Base):
    """What happened, for those who are told: the outbox of webhooks."""

    __tablename__ = "events"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    at: Mapped[datetime]
    document: Mapped[Event] = mapped_column(Document[Event](Event))

    __table_args__ = (Index(None, "at", "id"),)


class Webhooks(Base):
    """Who is told of events. The secret signs messages and is in no document."""

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(primary_key=True)
    secret: Mapped[str]
    active: Mapped[bool]
    document: Mapped[Webhook] = mapped_column(Document[Webhook](Webhook))


class WebhookDeliveries(Base):
    """Events on their way to webhooks; `token` is that of the process which is trying now."""

    __tablename__ = "webhook_deliveries"

    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id"), primary_key=True)
    event_id: Mapped[str] = mapped_column(ForeignKey("events.id"), primary_key=True, index=True)
    state: Mapped[str]
    attempts: Mapped[int]
    next_at: Mapped[datetime | None]
    token: Mapped[int | None]
    status: Mapped[int | None]
    problem: Mapped[str | None]
    delivered_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "state", "next_at"),)
