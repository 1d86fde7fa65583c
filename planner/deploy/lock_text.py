"""The text of a lock: TOML or JSON, canonical, and read back strictly.

Equal locks have equal text: fields in the order of their structs, maps by key, one value a line. Both forms hold the same
document; a reader tells them apart by the first character.
"""

from __future__ import annotations

import re
import tomllib
from enum import StrEnum
from typing import Any, Final

import msgspec
import tomli_w

from planner.deploy.lock import LOCK_VERSION, Lock
from planner.errors import InvalidFile, InvalidInput

MAX_BYTES: Final = 16 * 1024**2
"""Largest lock that is read: some hundred thousand files."""
_PLACE: Final = re.compile(r" - at `\$?\.?([^`]*)`$")


class LockForm(StrEnum):
    """How a lock is written."""

    TOML = "toml"
    JSON = "json"


def write_lock(lock: Lock, form: LockForm) -> str:
    """Return the canonical text of `lock`."""
    if form is LockForm.JSON:
        encoded = msgspec.json.encode(lock, order="deterministic")
        return msgspec.json.format(encoded, indent=2).decode() + "\n"
    document: dict[str, Any] = msgspec.to_builtins(lock, order="deterministic")
    return tomli_w.dumps(document)


def read_lock(text: str, *, source: str) -> Lock:
    """Return the lock that `text` holds. Raises InvalidFile naming `source`, the field and what is allowed there."""
    if len(text) > MAX_BYTES:
        raise InvalidFile(source, "", f"has {len(text):,} characters", allowed=f"at most {MAX_BYTES:,}")
    document = _document(text, source)
    version = document.get("lock_version")
    if version != LOCK_VERSION:  # said before anything else: another version's fields would only confuse
        problem = "is missing" if version is None else f"{version!r:.40} is not readable here"
        raise InvalidFile(source, "lock_version", problem, allowed=str(LOCK_VERSION))
    try:
        return msgspec.convert(document, Lock)
    except msgspec.ValidationError as error:
        raise _refused(source, str(error)) from None
    except InvalidInput as error:  # of a struct that refuses its own values
        details = error.details
        raise InvalidFile(
            source, str(details["field"]), str(details["problem"]), allowed=details.get("allowed")
        ) from None
    except RecursionError:
        raise InvalidFile(source, "", "is nested too deeply") from None


def _document(text: str, source: str) -> dict[str, Any]:
    try:
        if text.lstrip().startswith("{"):
            document: Any = msgspec.json.decode(text)
        else:
            document = tomllib.loads(text)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidFile(
            source, "", f"is neither TOML nor JSON: {error}", allowed="what `planner lock` writes"
        ) from None
    try:
        return msgspec.convert(document, dict[str, Any])
    except msgspec.ValidationError:
        raise InvalidFile(
            source, "", "is not a table of fields", allowed="what `planner lock` writes"
        ) from None


def _refused(source: str, message: str) -> InvalidFile:
    match = _PLACE.search(message)
    problem = message[: match.start()] if match else message
    return InvalidFile(source, match.group(1) if match else "", problem[:1].lower() + problem[1:])
