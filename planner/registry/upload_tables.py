"""Tables of pushed repositories: their refs, commits and lists of files, and what clients have announced to bring.

They refer to variants by id only, without a constraint: what was pushed stays readable when a variant is withdrawn.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from planner.domain.variant import Artifact
from planner.registry.columns import Document
from planner.registry.tables import Base


class PushedRepositories(Base):
    """Repositories by their id in lower case."""

    __tablename__ = "pushed_repositories"

    key: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str]
    created_at: Mapped[datetime]
    modified_at: Mapped[datetime]


class PushedTrees(Base):
    """Lists of files by their digest, each kept once however many commits hold it."""

    __tablename__ = "pushed_trees"

    digest: Mapped[str] = mapped_column(primary_key=True)
    files: Mapped[tuple[Artifact, ...]] = mapped_column(Document[tuple[Artifact, ...]](tuple[Artifact, ...]))


class PushedCommits(Base):
    """Commits; of a stored one only `variant_id` and `note` change."""

    __tablename__ = "pushed_commits"

    repository: Mapped[str] = mapped_column(ForeignKey("pushed_repositories.key"), primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    parent: Mapped[str | None]
    tree: Mapped[str] = mapped_column(ForeignKey("pushed_trees.digest"), index=True)
    summary: Mapped[str]
    description: Mapped[str]
    author: Mapped[str]
    created_at: Mapped[datetime]
    variant_id: Mapped[str | None]
    note: Mapped[str | None]

    __table_args__ = (Index(None, "variant_id"),)


class PushedRefs(Base):
    """Branches and tags."""

    __tablename__ = "pushed_refs"

    repository: Mapped[str] = mapped_column(ForeignKey("pushed_repositories.key"), primary_key=True)
    is_tag: Mapped[bool] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(primary_key=True)
    commit_id: Mapped[str]
    message: Mapped[str | None]


class PushedAnnouncements(Base):
    """Files that clients have said they will commit to a branch, until they have."""

    __tablename__ = "pushed_announcements"

    repository: Mapped[str] = mapped_column(ForeignKey("pushed_repositories.key"), primary_key=True)
    branch: Mapped[str] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    announced_at: Mapped[datetime]
