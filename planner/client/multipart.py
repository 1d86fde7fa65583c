"""Several files as one request body, in the encoding of HTML forms (RFC 7578)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence


def multipart(files: Sequence[tuple[str, str, bytes]]) -> tuple[str, bytes]:
    """Return media type and body for (field, file name, content) of each file."""
    boundary = secrets.token_hex(16)
    parts: list[bytes] = []
    for field, name, content in files:
        quoted = name.replace("\\", "_").replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{quoted}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        parts += [head.encode("utf-8", "replace"), content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(parts)
