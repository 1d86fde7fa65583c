"""The token a client shows: where it comes from, and where it goes.

It travels in the Authorization header of requests to the server that was named, and nowhere else: every call is a path
below that address, redirects are not followed, and neither errors nor representations of a client hold it.
HF_TOKEN is not read: it may be a token of another hub, which is nobody's business here.
"""

from __future__ import annotations

import os
from typing import Final

from planner.errors import InvalidInput

VARIABLE: Final = "PLANNER_TOKEN"
_LONGEST: Final = 4_096


def authorization(token: str | None) -> dict[str, str]:
    """Return the headers that show `token`, or that of PLANNER_TOKEN when none is given; none without either.

    Raises InvalidInput, without repeating it, for text that no header can carry.
    """
    given = (os.environ.get(VARIABLE, "") if token is None else token).strip()
    if not given:
        return {}
    if len(given) > _LONGEST or not given.isascii() or not given.isprintable() or " " in given:
        raise InvalidInput(VARIABLE, "is no token", allowed="what `planner token create` prints")
    return {"Authorization": f"Bearer {given}"}
