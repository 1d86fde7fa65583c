"""Create the registry: models, devices, variants and their evidence, jobs, plans and aliases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)
NUMBER: sa.Double[float] = sa.Double()
ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    counters = op.create_table(
        "counters",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
    op.bulk_insert(counters, [{"name": "revision", "value": 0}, {"name": "lease", "value": 0}])
    op.create_table(
        "catalogue_syncs",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_catalogue_syncs"),
    )
    op.create_table(
        "past_rows",
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "id", "revision", name="pk_past_rows"),
    )
    op.create_index("ix_past_rows_kind_superseded", "past_rows", ["kind", "superseded"])
    op.create_table(
        "names",
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", "id", name="pk_names"),
    )
    _create_models_and_devices()
    _create_variants()
    _create_evidence()
    _create_jobs_and_plans()
    _create_aliases()


def _revised(*columns: sa.Column[object]) -> list[sa.Column[object]]:
    """Return the columns of every table that plans depend on, around `columns`."""
    return [
        sa.Column("id", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        *columns,
        sa.Column("document", sa.Text(), nullable=False),
    ]


def _create_models_and_devices() -> None:
    op.create_table(
        "models",
        *_revised(
            sa.Column("name_key", TEXT, nullable=False),
            sa.Column("family", TEXT, nullable=False),
            sa.Column("search_text", TEXT, nullable=False),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
    )
    op.create_table(
        "devices",
        *_revised(
            sa.Column("name_key", TEXT, nullable=False),
            sa.Column("kind", TEXT, nullable=False),
            sa.Column("search_text", TEXT, nullable=False),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_devices"),
    )
    for table in ("models", "devices"):
        op.create_index(f"ix_{table}_revision", table, ["revision"])
        op.create_index(f"ix_{table}_name_key_id", table, ["name_key", "id"])


def _create_variants() -> None:
    op.create_table(
        "variants",
        *_revised(
            sa.Column("model_id", TEXT, nullable=False),
            sa.Column("name_key", TEXT, nullable=False),
            sa.Column("scheme", TEXT, nullable=False),
            sa.Column("scheme_terms", TEXT, nullable=False),
            sa.Column("nominal_bits", sa.BigInteger(), nullable=False),
            sa.Column("effective_bits", NUMBER, nullable=True),
            sa.Column("weight_bytes", sa.BigInteger(), nullable=False),
            sa.Column("file_format", TEXT, nullable=False),
            sa.Column("fetchable", sa.Boolean(), nullable=False),
            sa.Column("created_at", TIME, nullable=True),
            sa.Column("search_text", TEXT, nullable=False),
            sa.Column("loss", NUMBER, nullable=True),
            sa.Column("loss_figure", sa.Text(), nullable=True),
            sa.Column("profile_count", sa.BigInteger(), nullable=False),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_variants"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_variants_model_id"),
    )
    for columns in (
        ("revision",),
        ("name_key", "id"),
        ("model_id", "name_key", "id"),
        ("weight_bytes", "id"),
        ("effective_bits", "id"),
        ("created_at", "id"),
        ("loss", "id"),
    ):
        op.create_index("ix_variants_" + "_".join(columns), "variants", list(columns))
    op.create_table(
        "blobs",
        sa.Column("sha256", TEXT, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_blobs"),
    )


def _create_evidence() -> None:
    op.create_table(
        "profiles",
        *_revised(
            sa.Column("variant_id", TEXT, nullable=False),
            sa.Column("device_id", TEXT, nullable=False),
            sa.Column("runtime", TEXT, nullable=False),
            sa.Column("basis", TEXT, nullable=False),
            sa.Column("measured_at", TIME, nullable=True),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_profiles"),
        sa.ForeignKeyConstraint(["variant_id"], ["variants.id"], name="fk_profiles_variant_id"),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name="fk_profiles_device_id"),
    )
    op.create_table(
        "evaluations",
        *_revised(
            sa.Column("variant_id", TEXT, nullable=False),
            sa.Column("task", TEXT, nullable=False),
            sa.Column("metric", TEXT, nullable=False),
            sa.Column("basis", TEXT, nullable=False),
            sa.Column("measured_at", TIME, nullable=True),
            sa.Column("records", sa.Text(), nullable=True),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_evaluations"),
        sa.ForeignKeyConstraint(["variant_id"], ["variants.id"], name="fk_evaluations_variant_id"),
    )
    for table, column in (("profiles", "device_id"), ("evaluations", "task")):
        op.create_index(f"ix_{table}_revision", table, ["revision"])
        op.create_index(f"ix_{table}_variant_id_id", table, ["variant_id", "id"])
        op.create_index(f"ix_{table}_{column}_id", table, [column, "id"])


def _create_jobs_and_plans() -> None:
    op.create_table(
        "jobs",
        sa.Column("number", ROW_NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("requires_key", TEXT, nullable=False),
        sa.Column("lease_expires_at", TIME, nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_jobs"),
        sa.UniqueConstraint("id", name="uq_jobs_id"),
    )
    op.create_index("ix_jobs_state_requires_key_number", "jobs", ["state", "requires_key", "number"])
    op.create_index("ix_jobs_state_lease_expires_at", "jobs", ["state", "lease_expires_at"])
    op.create_table(
        "plans",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("as_of", TIME, nullable=False),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_plans"),
    )
    op.create_index("ix_plans_as_of_id", "plans", ["as_of", "id"])


def _create_aliases() -> None:
    op.create_table(
        "aliases",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("variant_id", TEXT, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("moved_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_aliases"),
        sa.ForeignKeyConstraint(["variant_id"], ["variants.id"], name="fk_aliases_variant_id"),
    )
    op.create_index("ix_aliases_variant_id", "aliases", ["variant_id"])
    op.create_table(
        "alias_moves",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("variant_id", TEXT, nullable=False),
        sa.Column("previous_variant_id", TEXT, nullable=True),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("moved_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", "number", name="pk_alias_moves"),
        sa.ForeignKeyConstraint(["name"], ["aliases.name"], name="fk_alias_moves_name"),
    )


def downgrade() -> None:
    for table in (
        "alias_moves",
        "aliases",
        "plans",
        "jobs",
        "evaluations",
        "profiles",
        "blobs",
        "variants",
        "devices",
        "models",
        "names",
        "past_rows",
        "catalogue_syncs",
        "counters",
    ):
        op.drop_table(table)
