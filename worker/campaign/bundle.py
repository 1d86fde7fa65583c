"""Bundles: a campaign's results as one file that another machine registers, and how such a file is read.

A bundle is a gzipped tar of `manifest.json` and of the units' records, results and failures, never of weights. It may
come from anywhere, so reading takes regular files only, under clean names, within limits that hold while it is unpacked,
and every file's sha256 must be the manifest's.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import platform
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from planner.domain.variant import Artifact, check_path
from planner.errors import IntegrityFailure, InvalidFile, InvalidInput
from worker.campaign.ledger import FACTS_FILE, MODELS, UNIT_FILE, UNITS, Record
from worker.measure.environment import versions
from worker.runner import FAILURE_FILE, RESULT_FILE

FORMAT: Final = 1
BUNDLE_FILE: Final = "campaign.tar.gz"
MANIFEST: Final = "manifest.json"
CARD: Final = "README.md"
MAX_FILES: Final = 20_000
MAX_FILE_BYTES: Final = 64 * 2**20
MAX_TOTAL_BYTES: Final = 512 * 2**20
_SUFFIXES: Final = (".tar.gz", ".tgz")
_CARRIED: Final = frozenset({UNIT_FILE, RESULT_FILE, FAILURE_FILE, FACTS_FILE})


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle holds and where it was made."""

    format: int
    campaign: str
    description: str
    campaign_digest: str
    """sha256 of the campaign file."""
    made_at: datetime
    machine: str
    versions: dict[str, str]
    units: tuple[Record, ...]
    files: tuple[Artifact, ...]


def is_bundle(path: Path) -> bool:
    """Return whether the path is named like a bundle."""
    return path.name.endswith(_SUFFIXES)


def write_bundle(
    root: Path, path: Path, *, campaign: str, description: str, campaign_digest: str
) -> Manifest:
    """Write the bundle of the campaign in the folder `root` to `path`, which is complete or not there."""
    files = _carried_files(root)
    records = tuple(
        msgspec.json.decode(file.read_bytes(), type=Record) for file in files if file.name == UNIT_FILE
    )
    manifest = Manifest(
        format=FORMAT,
        campaign=campaign,
        description=description,
        campaign_digest=campaign_digest,
        made_at=datetime.now(UTC),
        machine=platform.platform(),
        versions=versions(),
        units=records,
        files=tuple(_artifact(root, file) for file in files),
    )
    partial = path.with_name(f".{path.name}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    with (
        partial.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        _add(archive, MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        for file in files:
            _add(archive, file.relative_to(root).as_posix(), file.read_bytes())
    partial.replace(path)
    return manifest


@contextmanager
def opened(path: Path) -> Generator[Path]:
    """Give the folder with the results of `path`: a folder as it is, or a bundle unpacked for as long as the block runs.

    Raises InvalidInput for anything else, InvalidFile and IntegrityFailure for a bundle that cannot be trusted.
    """
    if path.is_dir():
        yield path
        return
    if not path.is_file() or not is_bundle(path):
        raise InvalidInput(
            "directory", f"`{path}` is neither a folder nor a bundle", allowed="a folder or a .tar.gz file"
        )
    with tempfile.TemporaryDirectory(prefix="bundle-") as temporary:
        folder = Path(temporary)
        unpack(path, folder)
        yield folder


def unpack(path: Path, folder: Path) -> Manifest:
    """Unpack a bundle into `folder` and return its manifest. Raises InvalidFile, IntegrityFailure.

    Files that are there already are replaced only when everything in the bundle has proven right.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as temporary:
        staging = Path(temporary)
        _extract(path, staging)
        manifest = _check(path, staging)
        for artifact in manifest.files:
            target = folder / artifact.path
            target.parent.mkdir(parents=True, exist_ok=True)
            (staging / artifact.path).replace(target)
        shutil.copyfile(staging / MANIFEST, folder / MANIFEST)
    return manifest


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of an unpacked bundle, None where there is none. Raises InvalidFile."""
    path = folder / MANIFEST
    return _decode(path.read_bytes(), path.name) if path.is_file() else None


class _Limited(io.RawIOBase):
    """A reader that refuses to give more bytes than a bundle may hold: compressed data says nothing of its size."""

    def __init__(self, source: Any, name: str) -> None:
        self._source, self._name, self._read = source, name, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content: bytes = self._source.read(min(size, MAX_TOTAL_BYTES) if size >= 0 else MAX_TOTAL_BYTES)
        self._read += len(content)
        if self._read > MAX_TOTAL_BYTES:
            raise InvalidFile(
                self._name, "size", "holds too much", allowed=f"at most {MAX_TOTAL_BYTES:,} bytes unpacked"
            )
        return content


def _extract(path: Path, folder: Path) -> None:
    seen: set[str] = set()
    try:
        with (
            gzip.open(path, "rb") as packed,
            tarfile.open(fileobj=_Limited(packed, path.name), mode="r|") as archive,
        ):
            for member in archive:
                name = _checked_name(member, path.name)
                if name.casefold() in seen:
                    raise InvalidFile(path.name, name, "occurs twice", allowed="each file once")
                seen.add(name.casefold())
                if len(seen) > MAX_FILES:
                    raise InvalidFile(path.name, "", f"holds more than {MAX_FILES:,} files")
                content = archive.extractfile(member)
                if content is None:
                    raise InvalidFile(path.name, name, "cannot be read")
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    shutil.copyfileobj(content, file)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise InvalidFile(path.name, "", f"is no readable bundle: {error}") from error


def _checked_name(member: tarfile.TarInfo, bundle: str) -> str:
    if not member.isreg() or member.issparse():
        raise InvalidFile(bundle, member.name[:200], "is no regular file", allowed="regular files")
    try:
        check_path(member.name)
    except InvalidInput as error:
        raise InvalidFile(bundle, member.name[:200], error.message) from None
    if member.name != MANIFEST and member.name.split("/")[0] not in {UNITS, MODELS}:
        raise InvalidFile(bundle, member.name[:200], "does not belong in a bundle", allowed=f"{UNITS}/…")
    if member.size > MAX_FILE_BYTES:
        raise InvalidFile(
            bundle, member.name, f"has {member.size:,} bytes", allowed=f"at most {MAX_FILE_BYTES:,}"
        )
    return member.name


def _check(path: Path, folder: Path) -> Manifest:
    """Return the manifest of what was unpacked, when it is true of every file and of no more."""
    file = folder / MANIFEST
    if not file.is_file():
        raise InvalidFile(path.name, MANIFEST, "is missing")
    manifest = _decode(file.read_bytes(), path.name)
    named = {artifact.path for artifact in manifest.files}
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {MANIFEST}
    if named != found:
        raise InvalidFile(path.name, MANIFEST, f"does not match the files: {min(named ^ found)}")
    for artifact in manifest.files:
        content = (folder / artifact.path).read_bytes()
        actual = hashlib.sha256(content).hexdigest()
        if len(content) != artifact.size or actual != artifact.sha256:
            raise IntegrityFailure(
                f"{path.name}: {artifact.path} has sha256 {actual}, the manifest says {artifact.sha256}",
                path=artifact.path,
                expected=artifact.sha256,
                actual=actual,
            )
    return manifest


def _decode(content: bytes, name: str) -> Manifest:
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, msgspec.ValidationError, InvalidInput) as error:
        raise InvalidFile(name, MANIFEST, str(error)) from None
    if manifest.format != FORMAT:
        raise InvalidFile(name, f"{MANIFEST}: format", f"is {manifest.format}", allowed=str(FORMAT))
    return manifest


def _carried_files(root: Path) -> list[Path]:
    """Return the files that go into the bundle: what units ended with, and the cards of trained models."""
    found = [
        path
        for path in (root / UNITS).rglob("*")
        if path.is_file() and path.name in _CARRIED and path.stat().st_size <= MAX_FILE_BYTES
    ]
    found += [path for path in (root / MODELS).glob(f"*/{CARD}") if path.is_file()]
    return sorted(found)


def _artifact(root: Path, file: Path) -> Artifact:
    content = file.read_bytes()
    return Artifact(
        path=file.relative_to(root).as_posix(),
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))
