"""Tables of identity: tokens, who registered what, and signatures.

They refer to no variant: who handed in what, and who signed it, stays known when the files are gone.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from planner.domain.identity import RegistrationRecord, SignatureRecord, Token
from planner.registry.columns import Document
from planner.registry.tables import Base


class Tokens(Base):
    """Tokens by the hash of their secret, which itself is not kept."""

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    keyless: Mapped[bool]
    """Given to a pipeline for a short time: deleted some days after it has expired."""
    document: Mapped[Token] = mapped_column(Document[Token](Token))

    __table_args__ = (Index(None, "created_at", "id"), Index(None, "keyless", "expires_at"))


class Registrations(Base):
    """Who handed in the bytes of each variant, once per token."""

    __tablename__ = "registrations"

    variant_id: Mapped[str] = mapped_column(primary_key=True)
    token_id: Mapped[str] = mapped_column(primary_key=True)
    registered_at: Mapped[datetime]
    document: Mapped[RegistrationRecord] = mapped_column(Document[RegistrationRecord](RegistrationRecord))

    __table_args__ = (Index(None, "registered_at", "token_id"),)


class Signatures(Base):
    """Signatures over manifests; the bundles are files of the store."""

    __tablename__ = "signatures"

    variant_id: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)
    signed_at: Mapped[datetime]
    document: Mapped[SignatureRecord] = mapped_column(Document[SignatureRecord](SignatureRecord))

    __table_args__ = (Index(None, "variant_id", "signed_at"),)
