"""Add gates: reports of what was judged before a build was promoted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "gates",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("variant_id", TEXT, nullable=False),
        sa.Column("verdict", TEXT, nullable=False),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_gates"),
    )
    op.create_index("ix_gates_judged_at_id", "gates", ["judged_at", "id"])
    op.create_index("ix_gates_variant_id_judged_at_id", "gates", ["variant_id", "judged_at", "id"])


def downgrade() -> None:
    op.drop_table("gates")
