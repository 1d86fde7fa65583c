"""Add tokens, who registered what, signatures, and the principal of a download."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("keyless", sa.Boolean(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
    )
    op.create_index("ix_tokens_created_at_id", "tokens", ["created_at", "id"])
    op.create_index("ix_tokens_keyless_expires_at", "tokens", ["keyless", "expires_at"])
    op.create_table(
        "registrations",
        sa.Column("variant_id", TEXT, nullable=False),
        sa.Column("token_id", TEXT, nullable=False),
        sa.Column("registered_at", TIME, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("variant_id", "token_id", name="pk_registrations"),
    )
    op.create_index("ix_registrations_registered_at_token_id", "registrations", ["registered_at", "token_id"])
    op.create_table(
        "signatures",
        sa.Column("variant_id", TEXT, nullable=False),
        sa.Column("sha256", TEXT, nullable=False),
        sa.Column("signed_at", TIME, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("variant_id", "sha256", name="pk_signatures"),
    )
    op.create_index("ix_signatures_variant_id_signed_at", "signatures", ["variant_id", "signed_at"])
    op.add_column("downloads", sa.Column("principal", TEXT, nullable=True))


def downgrade() -> None:
    op.drop_column("downloads", "principal")
    for table in ("signatures", "registrations", "tokens"):
        op.drop_table(table)
