"""The ledger: what a campaign's folder says is done. It is nothing but files, so a killed run loses nothing finished.

units/<title>-<key>/
    unit.json                           how the unit ended
    run-N/result.json                   a profile, of a shape
    build|measure|evaluate/result.json  of a recipe
    facts.json                          of a training run
models/<name>/                          a trained model
campaign.tar.gz                         the bundle
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from planner.domain.job import Failure
from planner.domain.profile import NotMeasured, Profile
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from worker.campaign.units import ShapeWork, TrainWork, Unit
from worker.runner import RESULT_FILE

T = TypeVar("T")
UNITS: Final = "units"
MODELS: Final = "models"
UNIT_FILE: Final = "unit.json"
FACTS_FILE: Final = "facts.json"
MAX_ATTEMPTS: Final = 2
"""A unit that failed for a reason that may pass is tried this often in all."""
_SETTLED: Final = frozenset({"out_of_memory", "larger_than_memory"})
"""Reasons that would be the same the next time."""


class NotApplicable(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a unit that says nothing about what was built, and was left out for that: no failure."""

    part: Literal["measure"]
    reason: Literal["other_runtime"]
    """Timing it here would time another engine than the one that runs such files."""
    message: str


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a unit ended. A shape is partial while points are left for want of time."""

    key: str
    title: str
    kind: str
    state: Literal["done", "partial", "failed"]
    seconds: float
    """Of all attempts together."""
    started_at: datetime
    attempts: int = 1
    failures: tuple[Failure, ...] = ()
    not_measured: tuple[NotMeasured, ...] = ()
    """Points that were not even tried."""
    not_applicable: tuple[NotApplicable, ...] = ()

    @property
    def may_be_tried_again(self) -> bool:
        """True when it failed in a way that can end differently, and has attempts left."""
        retryable = bool(self.failures) and all(failure.reason.is_retryable for failure in self.failures)
        return self.state == "failed" and retryable and self.attempts < MAX_ATTEMPTS


class _Measured(msgspec.Struct, frozen=True):
    """Of a result file, the profile alone."""

    profile: Profile


class Ledger:
    """The folder of one campaign."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, unit: Unit) -> Path:
        """Return where the unit's files are."""
        return self.root / UNITS / unit.folder

    def model_folder(self, name: str) -> Path:
        """Return where the model of a train step is."""
        return self.root / MODELS / name

    def record(self, unit: Unit) -> Record | None:
        """Return how the unit ended, None when it has not. Raises InvalidInput for a file that is no record."""
        return read_record(self.folder(unit))

    def save(self, unit: Unit, record: Record) -> None:
        """Write how the unit ended."""
        write_json(self.folder(unit) / UNIT_FILE, record)

    def missing_points(self, unit: Unit, work: ShapeWork) -> tuple[Workload, ...]:
        """Return the points of a shape that have neither been measured nor shown to be impossible."""
        settled: set[Workload] = set()
        for path in sorted(self.folder(unit).glob(f"run-*/{RESULT_FILE}")):
            profile = _decode(path, _Measured).profile
            settled.update(point.workload for point in profile.points)
            settled.update(left.workload for left in profile.not_measured if left.reason in _SETTLED)
        return tuple(point for point in work.conditions.workloads if point not in settled)

    def is_done(self, unit: Unit, *, retry: bool = False) -> bool:
        """Return whether there is nothing left to do for the unit itself; `retry` tries what failed again."""
        record = self.record(unit)
        if record is None:
            return False
        if record.state == "failed":
            return not (retry or record.may_be_tried_again)
        if isinstance(unit.work, ShapeWork):
            return not self.missing_points(unit, unit.work)
        return True

    def has_files(self, unit: Unit) -> bool:
        """Return whether the model that a train unit makes is here."""
        return (
            isinstance(unit.work, TrainWork) and (self.model_folder(unit.work.name) / "config.json").is_file()
        )

    def estimate(self, unit: Unit) -> float:
        """Return the expected seconds of what is left of the unit."""
        if not isinstance(unit.work, ShapeWork):
            return unit.estimate_seconds
        share = len(self.missing_points(unit, unit.work)) / len(unit.work.conditions.workloads)
        return unit.load_seconds + (unit.estimate_seconds - unit.load_seconds) * share

    def run_folder(self, unit: Unit) -> Path:
        """Return a new folder for one more run of a shape."""
        number = 1
        while (self.folder(unit) / f"run-{number}" / RESULT_FILE).exists():
            number += 1
        return self.folder(unit) / f"run-{number}"


def read_record(folder: Path) -> Record | None:
    """Return the record in a unit's folder, None when there is none. Raises InvalidInput when it is damaged."""
    path = folder / UNIT_FILE
    return _decode(path, Record) if path.is_file() else None


def write_json(path: Path, content: msgspec.Struct) -> None:
    """Write JSON so that the file is complete or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(content)))
    partial.replace(path)


def _decode(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidInput(
            "out", f"`{path}` is damaged: {error}", allowed="a folder of this command"
        ) from None
