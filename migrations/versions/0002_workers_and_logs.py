"""Add workers, the logs of jobs, and the time a failed job is kept for other workers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("kept_from_worker", TEXT, nullable=True))
    op.add_column("jobs", sa.Column("kept_until", TIME, nullable=True))
    op.create_table(
        "workers",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("last_seen_at", TIME, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_workers"),
    )
    op.create_index("ix_workers_last_seen_at", "workers", ["last_seen_at"])
    op.create_table(
        "job_log_chunks",
        sa.Column("job_id", TEXT, nullable=False),
        sa.Column("attempt", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("start_byte", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("end_byte", sa.BigInteger(), nullable=False),
        sa.Column("text", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "attempt", "start_byte", name="pk_job_log_chunks"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_log_chunks_job_id"),
    )


def downgrade() -> None:
    op.drop_table("job_log_chunks")
    op.drop_table("workers")
    # What an older version cannot read becomes what it can: parked and returned attempts count as failures.
    op.execute("UPDATE jobs SET state = 'failed' WHERE state = 'parked'")
    for new, old in (
        ('"state":"parked"', '"state":"failed"'),
        ('"reason":"given_back"', '"reason":"worker_lost"'),
        ('"reason":"disk_full"', '"reason":"crashed"'),
    ):
        op.execute(
            sa.text("UPDATE jobs SET document = replace(document, :new, :old)").bindparams(new=new, old=old)
        )
    op.drop_column("jobs", "kept_until")
    op.drop_column("jobs", "kept_from_worker")
