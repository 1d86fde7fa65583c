"""Where a job's model files and data sets come from, and how they get onto this machine.

A job leased from a server may name registered variants, stored blobs and what ships with the worker; paths of this
machine are for jobs given by hand only, so that a server cannot have a worker read its disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from planner.domain.variant import Variant, manifest_digest
from planner.errors import InvalidInput
from worker.evaluate.dataset import Dataset, read_dataset, reference_dataset, standard_library
from worker.evaluate.task_file import Task, read_task
from worker.progress import Report


class PathSource(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="path", tag_field="from"
):
    """A folder of model files, or a data set's file, on this machine."""

    path: str


class RegistrySource(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="registry", tag_field="from"
):
    """A variant that the server holds, by id, unique id prefix, "model/name" or alias."""

    variant: str


class ReferenceSource(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="reference", tag_field="from"
):
    """The reference model, or its evaluation text, that ships with the worker."""


class StandardLibrarySource(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag="standard_library",
    tag_field="from",
):
    """The source of the Python standard library on the worker's machine: text to calibrate and train on."""


class BlobSource(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="blob", tag_field="from"
):
    """A data set stored on the server, by sha256; `format` says how to read it."""

    sha256: str
    format: str = "jsonl"
    name: str | None = None


class ReferenceTask(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="reference", tag_field="from"
):
    """A task that ships with the worker, made for the reference model."""

    task: Literal["next-line", "finish-line"]


Source = PathSource | RegistrySource | ReferenceSource
DatasetSource = PathSource | BlobSource | ReferenceSource | StandardLibrarySource
TaskSource = PathSource | BlobSource | ReferenceTask


class Files(Protocol):
    """What resolving needs from a server."""

    def variant(self, name: str) -> Variant:
        """Return the variant by id, prefix, name or alias."""
        ...

    def fetch(self, variant: Variant, directory: Path, report: Report) -> None:
        """Put the variant's files, every hash checked, into the folder."""
        ...

    def fetch_blob(self, sha256: str, path: Path) -> None:
        """Put one stored blob, its hash checked, at the path."""
        ...


@dataclass(frozen=True)
class Located:
    """Model files on this machine, with the digest that identifies them and the name of their model."""

    directory: Path
    variant_id: str
    model: str


@dataclass(frozen=True)
class Resolver:
    """Finds sources: `files` None means there is no server, `allow_paths` False that the job came from one."""

    cache: Path
    files: Files | None = None
    allow_paths: bool = True

    def locate(self, source: Source, report: Report, *, field: str = "source") -> Located:
        """Return the model files of `source`. Raises InvalidInput naming `field`, and what fetching raises."""
        match source:
            case ReferenceSource():
                from worker.reference import MODEL_NAME, model_path

                directory = model_path()
                return Located(directory=directory, variant_id=directory_digest(directory), model=MODEL_NAME)
            case PathSource():
                directory = self._path(source, field)
                return Located(
                    directory=directory, variant_id=directory_digest(directory), model=directory.name
                )
            case RegistrySource():
                files = self._server(field)
                variant = files.variant(source.variant)
                directory = self.cache / "variants" / variant.id.removeprefix("sha256:")
                files.fetch(variant, directory, report)
                return Located(directory=directory, variant_id=variant.id, model=variant.model_id)

    def dataset(self, source: DatasetSource, *, field: str = "dataset") -> Callable[[], Dataset]:
        """Return a function that reads the data set of `source`; a stored one is fetched now."""
        match source:
            case ReferenceSource():
                return reference_dataset
            case StandardLibrarySource():
                return standard_library
            case PathSource():
                return _FromFile(self._path(source, field), None)
            case BlobSource():
                if source.format not in {"jsonl", "txt"}:
                    raise InvalidInput(
                        f"{field}.format", f"`{source.format}` is unknown", allowed="jsonl, txt"
                    )
                return _FromFile(self._blob(source, field), source.name or f"dataset-{source.sha256[:12]}")

    def task(self, source: TaskSource, *, field: str = "tasks") -> Callable[[int | None], Task]:
        """Return a function that reads the task of `source`, up to a number of items; a stored one is fetched now."""
        match source:
            case ReferenceTask():
                from worker.reference.tasks import task_path

                return _TaskFile(task_path(source.task))
            case PathSource():
                return _TaskFile(self._path(source, field))
            case BlobSource():
                if source.format != "jsonl":
                    raise InvalidInput(f"{field}.format", f"`{source.format}` is unknown", allowed="jsonl")
                return _TaskFile(self._blob(source, field))

    def task_folder(self, source: PathSource, *, field: str) -> Path:
        """Return the path of a task file that can run code, which a job from a server may not name."""
        return self._path(source, field)

    def _blob(self, source: BlobSource, field: str) -> Path:
        path = self.cache / "datasets" / f"{source.sha256}.{source.format}"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._server(field).fetch_blob(source.sha256, path)
        return path

    def _path(self, source: PathSource, field: str) -> Path:
        if not self.allow_paths:
            raise InvalidInput(
                field, "names a path of the worker's machine", allowed="from registry, blob or reference"
            )
        path = Path(source.path).expanduser()
        if not path.exists():
            raise InvalidInput(field, f"`{path}` does not exist", allowed="an existing path")
        return path.absolute()

    def _server(self, field: str) -> Files:
        if self.files is None:
            raise InvalidInput(field, "is on a server, and none is given", allowed="from path or reference")
        return self.files


@dataclass(frozen=True)
class _FromFile:
    """Reads a data set; an object, not a closure, because it crosses into the child process."""

    path: Path
    name: str | None

    def __call__(self) -> Dataset:
        return read_dataset(self.path, name=self.name)


@dataclass(frozen=True)
class _TaskFile:
    """Reads a task."""

    path: Path

    def __call__(self, limit: int | None) -> Task:
        return read_task(self.path, limit=limit)


def directory_digest(directory: Path) -> str:
    """Return the digest that identifies the folder's files: the id they have, or would have, as a variant."""
    from planner.artifacts.manifest import scan

    return manifest_digest(scan(directory))
