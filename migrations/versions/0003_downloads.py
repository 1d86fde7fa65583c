"""Add the log of downloads: which variant was handed to whom, when, and by which plan."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "downloads",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("last_at", TIME, nullable=False),
        sa.Column("client", TEXT, nullable=False),
        sa.Column("user_agent", TEXT, nullable=False),
        sa.Column("repository", TEXT, nullable=False),
        sa.Column("revision", TEXT, nullable=False),
        sa.Column("variant_id", TEXT, nullable=False),
        sa.Column("plan_id", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_downloads"),
    )
    op.create_index("ix_downloads_started_at_id", "downloads", ["started_at", "id"])
    op.create_index("ix_downloads_variant_id_started_at_id", "downloads", ["variant_id", "started_at", "id"])
    op.create_index(
        "ix_downloads_client_repository_last_at", "downloads", ["client", "repository", "last_at"]
    )
    op.create_index("ix_downloads_repository", "downloads", ["repository"])


def downgrade() -> None:
    op.drop_table("downloads")
