"""Signatures on the way: verified before a fetch asks for its first byte, placed beside the files, and kept at registration.

A folder that was fetched with its signature and is registered elsewhere brings the signature along.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from planner.artifacts.bundle import SIGNATURE_NAME
from planner.artifacts.durable import disk_errors
from planner.domain.variant import Artifact
from planner.errors import IntegrityFailure, NotFound, PlannerError
from planner.wire.identity import MAX_BUNDLE_BYTES
from planner.wire.replies import Registration
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


def keep_carried_signature(service: Service, directory: Path, done: Registration) -> Registration:
    """Keep the signature that lies in a registered folder; one that cannot be kept is a warning, since the files are."""
    path = directory / SIGNATURE_NAME
    if done.dry_run or path.is_symlink() or not path.is_file():
        return done
    try:
        with path.open("rb") as file:
            service.add_signature(done.digest, file.read(MAX_BUNDLE_BYTES + 1))
    except (OSError, PlannerError) as error:
        warning = f"{SIGNATURE_NAME} was not kept: {error}"
        return msgspec.structs.replace(done, warnings=(*done.warnings, warning))
    return done
