"""Add states of variants with their history, pins, protected aliases, and moves that outlive a deleted alias."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "variant_states",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_variant_states"),
    )
    op.create_index("ix_variant_states_revision", "variant_states", ["revision"])
    op.create_index("ix_variant_states_state_id", "variant_states", ["state", "id"])
    op.create_table(
        "state_changes",
        sa.Column("variant_id", TEXT, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("variant_id", "number", name="pk_state_changes"),
    )
    op.create_table(
        "pins",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("variant_id", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("pinned_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pins"),
        sa.ForeignKeyConstraint(["variant_id"], ["variants.id"], name="fk_pins_variant_id"),
    )
    op.create_index("ix_pins_variant_id", "pins", ["variant_id"])
    with op.batch_alter_table("aliases") as aliases:
        aliases.add_column(sa.Column("protected", sa.Boolean, nullable=False, server_default=sa.false()))
    with op.batch_alter_table("alias_moves") as moves:
        moves.drop_constraint("fk_alias_moves_name", type_="foreignkey")
        moves.alter_column("variant_id", existing_type=TEXT, nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM alias_moves WHERE variant_id IS NULL OR name NOT IN (SELECT name FROM aliases)")
    with op.batch_alter_table("alias_moves") as moves:
        moves.alter_column("variant_id", existing_type=TEXT, nullable=False)
        moves.create_foreign_key("fk_alias_moves_name", "aliases", ["name"], ["name"])
    with op.batch_alter_table("aliases") as aliases:
        aliases.drop_column("protected")
    op.drop_table("pins")
    op.drop_table("state_changes")
    op.drop_table("variant_states")
