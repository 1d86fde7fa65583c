"""Alembic's environment: migrates the connection that `planner.registry.migrate` hands over, inside its transaction."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from planner.registry.tables import Base


def run() -> None:
    """Run the migrations that were asked for."""
    connection = context.config.attributes.get("connection")
    if not isinstance(connection, Connection):
        message = "start migrations through planner.registry.migrate, which opens the database and locks it"
        raise SystemExit(message)
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


run()
