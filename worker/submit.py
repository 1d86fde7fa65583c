"""Handing results in: uploads what the server lacks and registers variants, devices, profiles and evaluations.

Everything is identified by its content, so that handing the same result in again changes nothing.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from planner.errors import InvalidInput, NotFound
from planner.wire.service import Recording
from worker.campaign.bundle import opened
from worker.campaign.ledger import UNITS
from worker.jobs import BuildResult, EvaluateResult, MeasureResult, Result, parse_result
from worker.progress import Report, ignore
from worker.runner import RESULT_FILE


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the server now holds. `created` False when it was there already."""

    kind: str
    id: str
    created: bool
    others: tuple[str, ...] = ()
    """Ids of further evaluations of the same result."""
    left_out: str | None = None
    """Why it could not be registered; then the server does not hold it."""


def submit_all(service: Recording, path: Path, *, report: Report = ignore) -> list[Submitted]:
    """Hand in every result at or below a folder, or in a campaign's bundle: builds first, then evidence about them.

    A campaign carries no weights: a build without its files, and evidence about a variant that the server does not know,
    are left out and say why. Raises what `submit` raises for anything else.
    """
    done: list[Submitted] = []
    with opened(path) as folder:
        is_campaign = (folder / UNITS).is_dir()
        folders = find_results(folder)
        for number, each in enumerate(folders):
            report(number / len(folders), each.name)
            result = read_result(each)
            if isinstance(result, BuildResult) and not (each / result.directory).is_dir():
                why = "its files were not kept"
                done.append(Submitted(kind="variant", id=result.variant_id, created=False, left_out=why))
                continue
            try:
                done.append(submit(service, each, result))
            except NotFound as error:
                if not is_campaign:
                    raise
                done.append(_left_out(result, error))
    return done


def _left_out(result: Result, error: NotFound) -> Submitted:
    match result:
        case MeasureResult():
            return Submitted(kind="profile", id=result.profile.id, created=False, left_out=error.message)
        case EvaluateResult():
            return Submitted(
                kind="evaluation", id=result.evaluation.id, created=False, left_out=error.message
            )
        case BuildResult():
            raise error


def find_results(folder: Path) -> list[Path]:
    """Return the folders at or below `folder` that hold a result: builds first, then evidence about them.

    Raises InvalidInput when there is none.
    """
    found = sorted(path.parent for path in folder.rglob(RESULT_FILE))
    if not found:
        raise InvalidInput(
            "directory", f"`{folder}` holds no {RESULT_FILE}", allowed="the --out of a finished job"
        )
    return sorted(found, key=lambda path: not isinstance(read_result(path), BuildResult))


def read_result(folder: Path) -> Result:
    """Return the result in a job's folder. Raises InvalidInput."""
    try:
        content = (folder / RESULT_FILE).read_bytes()
    except OSError as error:
        raise InvalidInput("directory", f"`{folder}` holds no readable {RESULT_FILE}") from error
    return parse_result(content)


def submit(service: Recording, folder: Path, result: Result, *, report: Report = ignore) -> Submitted:
    """Hand one result in. Raises what the server answers, and InvalidInput when the built files have changed."""
    match result:
        case BuildResult():
            return _submit_build(service, folder, result, report)
        case MeasureResult():
            if result.device is not None:
                service.put_device(result.device)
            done = service.submit_profile(result.profile)
            return Submitted(kind="profile", id=done.id, created=done.created)
        case EvaluateResult():
            stored = [service.submit_evaluation(evaluation) for evaluation in result.evaluations]
            return Submitted(
                kind="evaluation",
                id=stored[0].id,
                created=any(each.created for each in stored),
                others=tuple(each.id for each in stored[1:]),
            )


def _submit_build(service: Recording, folder: Path, result: BuildResult, report: Report) -> Submitted:
    directory = (folder / result.directory).resolve()
    if not directory.is_relative_to(folder.resolve()):
        raise InvalidInput("result.directory", f"`{result.directory}` leaves the job's folder")

    def progress(done: int, total: int) -> None:
        report(done / max(total, 1), "uploading")

    registration = service.register(
        directory,
        model=result.model,
        name=result.name,
        # What a mix is mostly made of is known only from its files.
        scheme=None if result.scheme.mixed else result.scheme.weight.format.value,
        provenance=result.provenance,
        runtimes=result.runtimes,
        progress=progress,
    )
    if registration.digest != result.variant_id:
        raise InvalidInput(
            "directory",
            f"the files are {registration.digest}, built were {result.variant_id}",
            allowed="unchanged files",
        )
    return Submitted(kind="variant", id=registration.digest, created=registration.created)
