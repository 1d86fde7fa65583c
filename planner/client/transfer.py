"""Moving bytes: partial reads that go on after a broken connection, and uploads of files. Synchronous."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import httpx
import msgspec

from planner.client import answering
from planner.client.calls import PREFIX, Call
from planner.errors import IntegrityFailure, NotFound, Unavailable
from planner.wire.problem import error_of
from planner.wire.replies import Received, ReferenceProgress, Registration, Upload
from planner.wire.requests import RegisterReference


def artifact_path(sha256: str) -> str:
    """Return the path of a file by its digest."""
    return f"{PREFIX}/artifacts/{sha256}"


def read_artifact(http: httpx.Client, sha256: str, start: int, length: int | None) -> Iterator[bytes]:
    """Yield `length` bytes of a file from `start`, going on by Range where a connection breaks.

    Each break is forgiven as long as bytes keep coming. Raises NotFound, Unavailable, IntegrityFailure for a short file.
    """
    position, end = start, None if length is None else start + length
    attempt = 0
    while end is None or position < end:
        attempt += 1
        headers = {"Accept-Encoding": "identity"}
        if position or end is not None:
            headers["Range"] = f"bytes={position}-{'' if end is None else end - 1}"
        try:
            with http.stream("GET", artifact_path(sha256), headers=headers) as response:
                if (
                    response.status_code == 416
                    and response.headers.get("content-range") == f"bytes */{position}"
                ):
                    return
                if response.status_code >= 400:
                    response.read()
                    raise answering.error(
                        response.status_code, response.headers.get("content-type", ""), response.content
                    )
                if position and response.status_code != 206:
                    raise IntegrityFailure("the server ignored the range that was asked for")
                for chunk in response.iter_raw():
                    position += len(chunk)
                    attempt = 0
                    yield chunk
                return
        except httpx.TransportError as reason:
            if attempt >= answering.ATTEMPTS:
                raise answering.unreachable(str(http.base_url).rstrip("/"), reason) from reason
            time.sleep(answering.pause(attempt + 1))


def upload(http: httpx.Client, chunks: Iterable[bytes], *, sha256: str, size: int | None) -> Upload:
    """Send bytes to be stored under their digest. Raises IntegrityFailure, Unavailable."""
    headers = {"Content-Type": "application/octet-stream"}
    if size is not None:
        headers["Content-Length"] = str(size)
    call: Call[Upload] = Call(
        method="PUT", path=artifact_path(sha256), answer=Upload, parameters={}, repeatable=True
    )
    try:
        response = http.put(call.path, content=_iterate(chunks), headers=headers)
    except httpx.TransportError as reason:
        raise answering.unreachable(str(http.base_url).rstrip("/"), reason) from reason
    return answering.read(
        call, response.status_code, response.headers.get("content-type", ""), response.content
    )


def received(http: httpx.Client, sha256: str, *, size: int) -> Received:
    """Return how far the upload of a file has come. Raises InvalidInput, Unavailable."""
    path = f"{artifact_path(sha256)}/upload"
    call: Call[Received] = Call(method="GET", path=path, answer=Received, parameters={"size": str(size)})
    return _send(http, call, None, {})


def append(
    http: httpx.Client, chunks: Iterable[bytes], *, sha256: str, size: int, start: int, length: int
) -> Received:
    """Send `length` bytes of a file that begin at `start`. Raises Conflict with the right offset, Unavailable."""
    place = {"size": str(size), "offset": str(start)}
    call: Call[Received] = Call(
        method="PATCH", path=artifact_path(sha256), answer=Received, parameters=place, repeatable=False
    )
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
    return _send(http, call, _iterate(chunks), headers)


def register_reference(
    http: httpx.Client, request: RegisterReference, *, progress: Callable[[int, int], None] | None
) -> Registration:
    """Have the server register files it reads itself, following its progress. Not repeated: reading may take hours.

    Raises what the server raises, and Unavailable when it falls silent.
    """
    path = f"{PREFIX}/variants/by-reference"
    headers = {"Content-Type": "application/json"}
    try:
        with http.stream("POST", path, content=msgspec.json.encode(request), headers=headers) as response:
            if response.status_code >= 400:
                response.read()
                raise answering.error(
                    response.status_code, response.headers.get("content-type", ""), response.content
                )
            for line in response.iter_lines():
                state = msgspec.json.decode(line, type=ReferenceProgress)
                if state.problem is not None:
                    raise error_of(state.problem)
                if state.registration is not None:
                    return state.registration
                if progress is not None and state.total:
                    progress(state.done, state.total)
    except httpx.TransportError as reason:
        raise answering.unreachable(str(http.base_url).rstrip("/"), reason) from reason
    except msgspec.MsgspecError as reason:
        raise Unavailable(f"the answer to POST {path} is not understood: {reason}") from None
    raise Unavailable("the server ended without saying what came of it; ask again, what it has read is kept")


def _send(
    http: httpx.Client, call: Call[Received], content: Iterator[bytes] | None, headers: dict[str, str]
) -> Received:
    try:
        response = http.request(
            call.method, call.path, params=call.parameters, content=content, headers=headers
        )
    except httpx.TransportError as reason:
        raise answering.unreachable(str(http.base_url).rstrip("/"), reason) from reason
    return answering.read(
        call, response.status_code, response.headers.get("content-type", ""), response.content
    )


def _iterate(chunks: Iterable[bytes]) -> Iterator[bytes]:
    yield from chunks


def artifact_size(http: httpx.Client, sha256: str) -> int:
    """Return the size of a stored file in bytes. Raises NotFound, Unavailable."""
    try:
        response = http.head(artifact_path(sha256))
    except httpx.TransportError as reason:
        raise answering.unreachable(str(http.base_url).rstrip("/"), reason) from reason
    if response.status_code == 404:
        raise NotFound("artifact", sha256)
    length = response.headers.get("content-length", "")
    if response.status_code != 200 or not length.isdecimal():
        raise answering.error(response.status_code, response.headers.get("content-type", ""), b"")
    return int(length)
