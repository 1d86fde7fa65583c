"""Registering files that the server reads itself: an answer of one line a second, and on the last one what came of it.

A caller that goes away ends the work at the next bytes read.
"""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from litestar import Response, Router, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from litestar.response import Stream

from planner.api.parameters import ServiceParameter
from planner.errors import PlannerError
from planner.wire.problem import problem_of
from planner.wire.replies import ReferenceProgress, Registration
from planner.wire.requests import RegisterReference
from planner.wire.service import Service

MEDIA_TYPE: Final = "application/x-ndjson"
LINE_SECONDS: Final = 1.0


class _Abandoned(Exception):
    """The caller has gone."""


class _Work:
    """One registration on a thread of its own."""

    def __init__(self, service: Service, request: RegisterReference) -> None:
        self._service = service
        self._request = request
        self._results: queue.SimpleQueue[Registration | BaseException] = queue.SimpleQueue()
        self._state = ReferenceProgress()
        self._abandoned = threading.Event()
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="reference", daemon=True)

    def begin(self) -> Iterator[bytes]:
        """Begin, and return the lines of the answer. What is refused within a second is raised, as for any other call."""
        self._thread.start()
        first = self._next()
        if isinstance(first, BaseException):
            raise first
        return self._lines(first)

    def _lines(self, result: Registration | BaseException | None) -> Iterator[bytes]:
        try:
            while result is None:
                yield _line(self._state)
                result = self._next()
            yield _line(_last(result))
        finally:
            self._abandoned.set()

    def _next(self) -> Registration | BaseException | None:
        try:
            return self._results.get(timeout=LINE_SECONDS)
        except queue.Empty:
            return None

    def _run(self) -> None:
        try:
            self._results.put(self._service.register_reference(self._request, progress=self._note))
        except BaseException as error:  # noqa: BLE001 - the thread that answers raises or reports it
            self._results.put(error)

    def _note(self, done: int, total: int) -> None:
        if self._abandoned.is_set():
            raise _Abandoned
        self._state = ReferenceProgress(done=done, total=total)


def _last(result: Registration | BaseException) -> ReferenceProgress:
    if isinstance(result, Registration):
        return ReferenceProgress(registration=result)
    if isinstance(result, PlannerError):
        return ReferenceProgress(problem=problem_of(result))
    raise result


def _line(state: ReferenceProgress) -> bytes:
    return msgspec.json.encode(state, enc_hook=str) + b"\n"


@post(
    "/variants/by-reference",
    operation_id="registerReference",
    summary="Register files that the server reads itself",
    description=(
        "Answers line by line, each a JSON object: `done` and `total` bytes about once a second, and at the end "
        "`registration`, or `problem` where it failed after it had begun."
    ),
    responses={
        200: ResponseSpec(
            ReferenceProgress, description="One object a line", media_type=MEDIA_TYPE, generate_examples=False
        )
    },
    status_code=200,
    sync_to_thread=True,
)
def register_reference(service: ServiceParameter, data: JSONBody[RegisterReference]) -> Response[Any]:
    """Begin to register by reference; what may not be read is refused before the first line."""
    return Stream(_Work(service, data).begin(), media_type=MEDIA_TYPE, status_code=200)


router = Router("/", route_handlers=[register_reference], tags=["Variants"])
