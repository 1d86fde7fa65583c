"""References: where files lie that a server can read itself, instead of having them uploaded. Pure.

`file:///models/chat` a folder of the server's · `s3://bucket/prefix` objects of a store that the server has credentials for
· `hf:OWNER/NAME@REVISION` a repository that was pushed to this registry.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from planner.errors import InvalidInput

MAX_URI: Final = 2_000
ALLOWED: Final = "file:///folder, s3://bucket/prefix or hf:OWNER/NAME@REVISION"
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PUSHED: Final = re.compile(r"(?P<repository>[^@\s]+/[^@\s/]+)(?:@(?P<revision>\S+))?")


class ReferenceKind(StrEnum):
    """Who holds the files."""

    FILE = "file"
    S3 = "s3"
    PUSHED = "hf"


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A reference taken apart. `place` is an absolute path, a bucket, or a repository; `rest` a prefix or a revision."""

    kind: ReferenceKind
    place: str
    rest: str = ""


def is_reference(text: str) -> bool:
    """Return whether `text` is meant as a reference and not as a path on this machine."""
    return re.match(r"(?:file|s3)://|hf:", text, re.IGNORECASE) is not None


def parse(uri: str) -> Reference:
    """Return the parts of `uri`. Raises InvalidInput for anything that could mean two places."""
    if len(uri) > MAX_URI or not uri.isprintable() or not uri.strip():
        raise InvalidInput("uri", f"{uri[:80]!r} is no reference", allowed=ALLOWED)
    scheme = uri.partition(":")[0].lower()
    if scheme == "hf":
        return _pushed(uri)
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise InvalidInput("uri", f"`{uri[:80]}` is no reference", allowed=ALLOWED) from None
    if scheme == "file" and parts.netloc in {"", "localhost"} and not parts.query and not parts.fragment:
        path = unquote(parts.path)
        pieces = path.split("/")
        if path.startswith("/") and path.isprintable() and not {".", ".."} & set(pieces):
            return Reference(kind=ReferenceKind.FILE, place="/" + "/".join(filter(None, pieces)))
        raise InvalidInput(
            "uri", f"`{uri[:80]}` is no plain path", allowed="file:///folder, without `.` or `..`"
        )
    if scheme == "s3" and _BUCKET.fullmatch(parts.netloc) and not parts.query and not parts.fragment:
        prefix = parts.path.strip("/")
        if prefix and {"", ".", ".."} & set(prefix.split("/")):
            raise InvalidInput(
                "uri", f"`{uri[:80]}` is no plain prefix", allowed="s3://bucket/prefix, without `..`"
            )
        return Reference(kind=ReferenceKind.S3, place=parts.netloc, rest=prefix)
    raise InvalidInput("uri", f"`{uri[:80]}` is no reference", allowed=ALLOWED)


def covers(allowed: str, bucket: str, prefix: str) -> bool:
    """Return whether the entry `allowed`, "bucket" or "bucket/prefix", holds everything below `prefix` of `bucket`."""
    name, _, below = allowed.partition("/")
    below = below.strip("/")
    return name == bucket and (not below or prefix == below or prefix.startswith(f"{below}/"))


def _pushed(uri: str) -> Reference:
    found = _PUSHED.fullmatch(uri[3:].removeprefix("//"))
    if found is None:
        raise InvalidInput("uri", f"`{uri[:80]}` names no repository", allowed="hf:OWNER/NAME@REVISION")
    return Reference(kind=ReferenceKind.PUSHED, place=found["repository"], rest=found["revision"] or "main")
