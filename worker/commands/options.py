"""Options that several verbs take, and how text on a command line becomes a source or a workload."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from planner.domain.workload import Workload
from planner.errors import InvalidInput
from worker.sources import (
    DatasetSource,
    PathSource,
    ReferenceSource,
    RegistrySource,
    Source,
    StandardLibrarySource,
)

F = TypeVar("F", bound=Callable[..., Any])
REFERENCE = "reference"
STANDARD_LIBRARY = "standard-library"


def json_option(function: F) -> F:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(function)


def device_option(function: F) -> F:
    """Add --device."""
    return click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")(
        function
    )


def threads_option(function: F) -> F:
    """Add --threads."""
    return click.option("--threads", type=int, help="Threads of CPU work. Default: torch's choice.")(function)


def server_options(function: F) -> F:
    """Add --server and --submit."""
    function = click.option(
        "--submit", "hand_in", is_flag=True, help="Register the result with the server afterwards."
    )(function)
    return click.option(
        "--server", envvar="PLANNER_SERVER", help="Planner server that holds the files, and takes results."
    )(function)


def prepare_folder(path: Path, *, field: str) -> Path:
    """Make the folder and return it. Raises InvalidInput where nothing can be written, before hours of work."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InvalidInput(
            field, f"`{path}` cannot be written to: {error.strerror}", allowed="a folder that can be"
        ) from error
    return path


def cache_folder() -> Path:
    """Return the folder where fetched variants are kept between jobs."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(root) / "variant-planner" / "worker"


def model_source(text: str, *, server: str | None, field: str) -> Source:
    """Return what `text` names: "reference", a folder on this machine, or else a variant on the server."""
    if text == REFERENCE:
        return ReferenceSource()
    if Path(text).expanduser().is_dir():
        return PathSource(path=text)
    if server is None:
        raise InvalidInput(
            field, f"`{text}` is not a folder", allowed="a folder, `reference`, or with --server a variant"
        )
    return RegistrySource(variant=text)


def dataset_source(text: str) -> DatasetSource:
    """Return the data set `text` names: "reference", "standard-library" or a file."""
    if text == STANDARD_LIBRARY:
        return StandardLibrarySource()
    return ReferenceSource() if text == REFERENCE else PathSource(path=text)


def workload(text: str) -> Workload:
    """Return the workload point written "input:output" or "input:output:concurrency". Raises InvalidInput."""
    parts = text.split(":")
    if len(parts) not in {2, 3} or not all(part.isdecimal() for part in parts):
        raise InvalidInput(
            "point", f"`{text}` is not a workload", allowed="input:output or input:output:concurrency"
        )
    numbers = [int(part) for part in parts]
    return Workload(
        input_tokens=numbers[0], output_tokens=numbers[1], concurrency=numbers[2] if len(numbers) == 3 else 1
    )


def settings(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return "key=value" texts as a mapping. Raises InvalidInput for one without "="."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InvalidInput("set", f"`{pair}` is not a setting", allowed="key=value")
        found[key.strip()] = value.strip()
    return found
