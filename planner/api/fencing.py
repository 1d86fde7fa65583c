"""Writes made on behalf of a job are refused once its lease is gone, so that a late worker adds nothing.

A worker names its lease in a header of every request it makes for a job. Reads pass: they change nothing.
"""

from __future__ import annotations

import asyncio
from urllib.parse import unquote

from litestar import Request
from litestar.handlers import BaseRouteHandler

from planner.api.safety import SAFE_METHODS, Connection
from planner.domain.job import holds_lease
from planner.errors import InvalidInput, LeaseLost
from planner.wire.lease import HEADER
from planner.wire.service import Service


async def check_lease(connection: Connection, _: BaseRouteHandler) -> None:
    """Refuse a write under a lease that is not current. Raises InvalidInput, NotFound, LeaseLost."""
    given = connection.headers.get(HEADER)
    if given is None or not isinstance(connection, Request) or connection.method in SAFE_METHODS:
        return
    name, _separator, token = given.rpartition(";")
    if not name or not (token.isascii() and token.isdecimal()) or len(token) > 19:
        raise InvalidInput(HEADER, "is no lease", allowed="the id of a job; its token")
    service: Service = connection.app.state.service
    job = await asyncio.to_thread(service.job, unquote(name))
    if not holds_lease(job, int(token)):
        raise LeaseLost(
            f"token {token} does not hold job `{job.id}`, which is {job.state.value}",
            job=job.id,
            state=job.state.value,
        )
