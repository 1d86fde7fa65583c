"""How a request says that it is made on behalf of a leased job."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

HEADER: Final = "planner-lease"


def header_value(job_id: str, token: int) -> str:
    """Return the header's value for a job and the fencing token of its lease."""
    return f"{quote(job_id, safe='')};{token}"
