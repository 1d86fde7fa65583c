"""Signatures at fetch: found and verified before the first byte is asked for, and placed beside the files at the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from planner.artifacts.bundle import SIGNATURE_NAME
from planner.artifacts.durable import disk_errors
from planner.domain.variant import Artifact
from planner.errors import IntegrityFailure, NotFound
from planner.wire.identity import MAX_BUNDLE_BYTES
from planner.wire.service import Service


class Manifest(Protocol):
    """A variant's id and its files."""

    @property
    def id(self) -> str:
        """The variant's id."""
        ...

    @property
    def artifacts(self) -> Sequence[Artifact]:
        """The files that are about to be fetched."""
        ...


def verified_signature(service: Service, wanted: Manifest, public_key: Path) -> bytes:
    """Return the bundle by which `public_key` has signed exactly the files that are wanted.

    Raises SignatureFailure when there is none, InvalidInput for a key that cannot be used.
    """
    from planner.artifacts.signing import verify

    try:
        records = service.signatures(wanted.id)
    except NotFound:  # a lock of a variant that this registry does not know
        records = ()
    bundles: list[bytes] = []
    for record in records:
        if record.size > MAX_BUNDLE_BYTES:
            raise IntegrityFailure(f"the signature bundle {record.sha256} is too large")
        bundles.append(b"".join(service.open_artifact(record.sha256)))
    return verify(bundles, wanted.artifacts, public_key)


def place_signature(bundle: bytes, directory: Path) -> None:
    """Write the bundle beside the files, whole or not at all. Raises Unavailable."""
    staged = directory / f".{SIGNATURE_NAME}.{os.getpid()}"
    with disk_errors("placing the signature"):
        staged.write_bytes(bundle)
        staged.replace(directory / SIGNATURE_NAME)
