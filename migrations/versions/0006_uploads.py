"""Add repositories that clients push to: refs, commits, lists of files, announcements."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "pushed_repositories",
        sa.Column("key", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("modified_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_pushed_repositories"),
    )
    op.create_table(
        "pushed_trees",
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_pushed_trees"),
    )
    op.create_table(
        "pushed_commits",
        sa.Column("repository", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("parent", TEXT, nullable=True),
        sa.Column("tree", TEXT, nullable=False),
        sa.Column("summary", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=False),
        sa.Column("author", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("variant_id", TEXT, nullable=True),
        sa.Column("note", TEXT, nullable=True),
        sa.ForeignKeyConstraint(
            ["repository"], ["pushed_repositories.key"], name="fk_pushed_commits_repository"
        ),
        sa.ForeignKeyConstraint(["tree"], ["pushed_trees.digest"], name="fk_pushed_commits_tree"),
        sa.PrimaryKeyConstraint("repository", "id", name="pk_pushed_commits"),
    )
    op.create_index("ix_pushed_commits_tree", "pushed_commits", ["tree"])
    op.create_index("ix_pushed_commits_variant_id", "pushed_commits", ["variant_id"])
    op.create_table(
        "pushed_refs",
        sa.Column("repository", TEXT, nullable=False),
        sa.Column("is_tag", sa.Boolean(), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("commit_id", TEXT, nullable=False),
        sa.Column("message", TEXT, nullable=True),
        sa.ForeignKeyConstraint(
            ["repository"], ["pushed_repositories.key"], name="fk_pushed_refs_repository"
        ),
        sa.PrimaryKeyConstraint("repository", "is_tag", "name", name="pk_pushed_refs"),
    )
    op.create_table(
        "pushed_announcements",
        sa.Column("repository", TEXT, nullable=False),
        sa.Column("branch", TEXT, nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("announced_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["repository"], ["pushed_repositories.key"], name="fk_pushed_announcements_repository"
        ),
        sa.PrimaryKeyConstraint("repository", "branch", "path", name="pk_pushed_announcements"),
    )


def downgrade() -> None:
    for name in (
        "pushed_announcements",
        "pushed_refs",
        "pushed_commits",
        "pushed_trees",
        "pushed_repositories",
    ):
        op.drop_table(name)
