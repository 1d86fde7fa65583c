"""Names: made safe for where they go, and checked where they come from outside."""

from __future__ import annotations

import hashlib
import re
from typing import Final
from urllib.parse import urlsplit

from planner.errors import InvalidInput

MAX_LABEL: Final = 63
"""Longest DNS label (RFC 1123)."""
_SHORTENED: Final = 46
"""Leaves room for a digest, and for suffixes such as "-lock", within MAX_LABEL."""
_LABEL: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def dns_label(text: str) -> str:
    """Return `text` as a DNS label (RFC 1123) that begins with a letter, as names of Services must (RFC 1035).

    A long name is cut and ends in a digest of the whole, so that two names that differ only at their end stay apart.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-") or "model"
    if not plain[0].isalpha():
        plain = f"m-{plain}"
    if len(plain) > _SHORTENED:
        plain = f"{plain[:_SHORTENED].rstrip('-')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return plain


def check_namespace(text: str) -> None:
    """Raise InvalidInput unless `text` can name a Kubernetes namespace."""
    if len(text) > MAX_LABEL or _LABEL.fullmatch(text) is None:
        raise InvalidInput(
            "namespace",
            f"`{text[:80]}` is not a name",
            allowed="a DNS label: lower-case letters, digits, `-`",
        )


def check_image(field: str, text: str) -> None:
    """Raise InvalidInput unless `text` can be an image reference."""
    if _IMAGE.fullmatch(text) is None:
        raise InvalidInput(
            field, f"`{text[:80]}` is not an image", allowed="registry/name:tag or name@digest"
        )


def check_plain(field: str, text: str, *, longest: int = 512) -> None:
    """Raise InvalidInput for empty or long text, control characters, and text that would read as an option."""
    if not text.strip() or len(text) > longest or _CONTROL.search(text) or text.startswith("-"):
        raise InvalidInput(
            field,
            f"{text[:80]!r} is not allowed",
            allowed=f"at most {longest} characters, none of them control characters, not beginning with `-`",
        )


def check_url(field: str, text: str) -> None:
    """Raise InvalidInput unless `text` is an http or https URL without user, query or fragment."""
    try:
        parts = urlsplit(text)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    else:
        fine = fine and not (parts.username or parts.query or parts.fragment or _CONTROL.search(text))
    if not fine:
        raise InvalidInput(field, f"`{text[:80]}` is not a URL", allowed="http://host[:port] or https://…")
