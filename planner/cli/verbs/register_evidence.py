"""Results that come with a registration: each run through the importers, with what the lints say of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from planner.cli.verbs.imports import load_result
from planner.errors import InvalidInput
from planner.wire.imports import MAX_FILES, ImportOptions, ImportReport, ResultFile
from planner.wire.service import Service

_SUFFIXES: Final = frozenset({".json", ".jsonl", ".csv", ".log", ".txt"})


class Runs(msgspec.Struct, frozen=True, kw_only=True):
    """Result files as they were given: every path is one run, a file or a folder of files."""

    evaluations: tuple[Path, ...] = ()
    baseline_evaluations: tuple[Path, ...] = ()
    benchmarks: tuple[Path, ...] = ()
    baseline: str | None = None
    device: str | None = None
    engine: str | None = None

    def __bool__(self) -> bool:
        """Return whether there is anything to import."""
        return bool(self.evaluations or self.benchmarks)


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """One run: its files, and what they are about apart from the variant."""

    files: tuple[ResultFile, ...]
    options: ImportOptions


def load(runs: Runs) -> tuple[Loaded, ...]:
    """Return the runs with their files' contents. Raises InvalidInput and InvalidFile, before anything is registered."""
    if runs.baseline_evaluations and not runs.evaluations:
        raise InvalidInput("--baseline-eval", "has nothing to be held against", allowed="with --eval")
    base = _files(runs.baseline_evaluations, of_baseline=True)
    loaded = [
        Loaded(
            files=(*_files([path]), *base),
            options=ImportOptions(baseline=runs.baseline, device=runs.device, runtime=runs.engine),
        )
        for path in runs.evaluations
    ]
    loaded += [
        Loaded(files=_files([path]), options=ImportOptions(device=runs.device, runtime=runs.engine))
        for path in runs.benchmarks
    ]
    return tuple(loaded)


def attach(
    service: Service, runs: Sequence[Loaded], *, variant: str, baseline: str | None, dry_run: bool
) -> tuple[ImportReport, ...]:
    """Import the runs for `variant`, held against `baseline` where they name none. Raises what importing raises."""
    return tuple(
        service.import_results(
            run.files,
            msgspec.structs.replace(
                run.options, variant=variant, baseline=run.options.baseline or baseline, dry_run=dry_run
            ),
        )
        for run in runs
    )


def _files(paths: Sequence[Path], *, of_baseline: bool = False) -> tuple[ResultFile, ...]:
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = [
            each
            for each in sorted(path.rglob("*"))
            if each.suffix in _SUFFIXES
            and each.is_file()
            and not any(part.startswith(".") for part in each.relative_to(path).parts)
        ]
        if not inside:
            raise InvalidInput(
                str(path), "holds no result file", allowed=", ".join(sorted(_SUFFIXES)) + " files"
            )
        found += inside
    if len(found) > MAX_FILES:
        raise InvalidInput(
            "--eval", f"{len(found)} files are too many", allowed=f"at most {MAX_FILES} of a run"
        )
    return tuple(load_result(path, of_baseline=of_baseline) for path in found)
