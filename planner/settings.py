"""Settings: one frozen struct, read from the environment by one function.

Everything has a default that works on one machine: data under the user's data folder, SQLite, loopback.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import msgspec

from planner.errors import InvalidInput

DEFAULT_PORT = 8765
DEFAULT_MAX_FILE_BYTES = 2**40
"""1 TiB, above any shard in use."""
DEFAULT_PART_BYTES = 64 * 1024**2
_MIN_PART_BYTES = 64 * 1024


class AuthMode(StrEnum):
    """Which requests need a token."""

    OFF = "off"
    WRITES = "writes"
    ALL = "all"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where data lives and where the server listens."""

    data_dir: Path
    database_url: str
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    log_level: str = "info"
    prices: Path | None = None
    """Price file, see `planner.workspace.pricing`."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names a server on loopback answers to besides its own, such as that of a proxy in front of it."""
    auth: AuthMode = AuthMode.OFF
    """Which requests need a token."""
    oidc: Path | None = None
    """File of trusted publishers, see `planner.domain.trusted_publisher`."""
    unprotected: bool = False
    """Whether a server that others can reach may run with `auth` off."""

    webhook_loopback: bool = False
    """Whether webhooks may lead to this machine itself."""
    gate_floor: Path | None = None
    """Policy file that every gate's policy must be at least as strict as, see `planner.gate.floor`."""
    reference_roots: tuple[Path, ...] = ()
    """Folders whose files may be registered by naming a path instead of uploading."""
    reference_buckets: tuple[str, ...] = ()
    """Buckets of an S3-compatible store, each with or without a prefix, that may be registered from."""

    max_file_bytes: int = DEFAULT_MAX_FILE_BYTES
    """Largest file that the server takes."""
    upload_part_bytes: int = DEFAULT_PART_BYTES
    """Largest request that stock clients are told to send a file in; larger files go in parts of this size."""

    @property
    def blob_dir(self) -> Path:
        """Folder of the content-addressed artifact store."""
        return self.data_dir / "blobs"


def load_settings(
    environ: Mapping[str, str],
    *,
    data_dir: Path | None = None,
    port: int | None = None,
    prices: Path | None = None,
) -> Settings:
    """Return the settings that `environ` describes, command-line values first. Raises InvalidInput.

    Variables: PLANNER_DATA_DIR, PLANNER_DATABASE_URL (sqlite:// or postgresql://), PLANNER_HOST, PLANNER_PORT,
    PLANNER_PRICES (a price file), PLANNER_LOG_LEVEL, PLANNER_ALLOWED_HOSTS (host names, comma-separated),
    PLANNER_WEBHOOK_LOOPBACK (0 or 1), PLANNER_REFERENCE_ROOTS (folders, separated as in PATH), PLANNER_REFERENCE_BUCKETS
    (bucket or bucket/prefix, comma-separated),
    PLANNER_MAX_FILE_BYTES and PLANNER_UPLOAD_PART_BYTES (the largest file, and the largest request that it is sent in),
    PLANNER_GATE_FLOOR (a policy file that no gate may be laxer than),
    PLANNER_AUTH (off, writes or all: which requests need a token), PLANNER_OIDC (a file of trusted publishers),
    PLANNER_UNPROTECTED (1 lets a server that others can reach run with PLANNER_AUTH off); XDG_DATA_HOME or HOME place the default data folder.
    """
    if data_dir is None:
        home = environ.get("XDG_DATA_HOME") or str(
            Path(environ.get("HOME", "~")).expanduser() / ".local" / "share"
        )
        data_dir = Path(environ.get("PLANNER_DATA_DIR") or Path(home) / "variant-planner")
    data_dir = data_dir.expanduser().absolute()
    text = environ.get("PLANNER_PORT", "") if port is None else str(port)
    if text and not (text.isdecimal() and 0 <= int(text) <= 65535):
        raise InvalidInput(
            "PLANNER_PORT", f"`{text}` is not a port", allowed="0 to 65535; 0 picks a free one"
        )
    if prices is None and environ.get("PLANNER_PRICES"):
        prices = Path(environ["PLANNER_PRICES"])
    level = environ.get("PLANNER_LOG_LEVEL", "info").lower()
    if level not in {"debug", "info", "warning", "error"}:
        raise InvalidInput(
            "PLANNER_LOG_LEVEL", f"`{level}` is unknown", allowed="debug, info, warning, error"
        )
    loopback = environ.get("PLANNER_WEBHOOK_LOOPBACK", "0")
    if loopback not in {"0", "1"}:
        raise InvalidInput("PLANNER_WEBHOOK_LOOPBACK", f"`{loopback}` is neither", allowed="0 or 1")
    auth = environ.get("PLANNER_AUTH", "").strip().lower() or AuthMode.OFF.value
    if auth not in set(AuthMode):
        raise InvalidInput("PLANNER_AUTH", f"`{auth[:40]}` is unknown", allowed=", ".join(AuthMode))
    unprotected = environ.get("PLANNER_UNPROTECTED", "").strip().lower()
    if unprotected not in {"", "0", "1", "true", "false"}:
        raise InvalidInput("PLANNER_UNPROTECTED", f"`{unprotected[:40]}` is unknown", allowed="1 or 0")
    oidc = environ.get("PLANNER_OIDC")
    floor = environ.get("PLANNER_GATE_FLOOR")
    return Settings(
        auth=AuthMode(auth),
        unprotected=unprotected in {"1", "true"},
        oidc=Path(oidc).expanduser().absolute() if oidc else None,
        data_dir=data_dir,
        database_url=environ.get("PLANNER_DATABASE_URL") or f"sqlite:///{data_dir / 'planner.db'}",
        host=environ.get("PLANNER_HOST", "127.0.0.1"),
        port=int(text) if text else DEFAULT_PORT,
        log_level=level,
        prices=prices.expanduser().absolute() if prices else None,
        allowed_hosts=tuple(
            name for part in environ.get("PLANNER_ALLOWED_HOSTS", "").split(",") if (name := part.strip())
        ),
        webhook_loopback=loopback == "1",
        max_file_bytes=_bytes(environ, "PLANNER_MAX_FILE_BYTES", DEFAULT_MAX_FILE_BYTES, least=1),
        upload_part_bytes=_bytes(
            environ, "PLANNER_UPLOAD_PART_BYTES", DEFAULT_PART_BYTES, least=_MIN_PART_BYTES
        ),
        gate_floor=Path(floor).expanduser().absolute() if floor else None,
        reference_roots=tuple(
            Path(part).expanduser().absolute()
            for part in environ.get("PLANNER_REFERENCE_ROOTS", "").split(os.pathsep)
            if part.strip()
        ),
        reference_buckets=tuple(
            name
            for part in environ.get("PLANNER_REFERENCE_BUCKETS", "").split(",")
            if (name := part.strip().removeprefix("s3://").strip("/"))
        ),
    )


def _bytes(environ: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 19 and int(text) >= least):
        raise InvalidInput(
            name, f"`{text[:40]}` is not allowed", allowed=f"a number of bytes, at least {least}"
        )
    return int(text)
