"""`python -m worker.campaign.fold BUNDLE…`: a campaign's bundles become evidence that ships with the catalogue.

Nothing is typed by hand: the file is a function of the bundles. Figures keep nine digits, so that what follows from
others still does. What was built and not kept becomes a variant of the catalogue, known by name; what was measured on it follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import msgspec
import rich_click as click

from planner.catalogue.load import assemble, read_files
from planner.catalogue.measured import (
    FOLDER,
    CampaignLine,
    DeviceLine,
    EnvironmentLine,
    EvaluationLine,
    FailureLine,
    Line,
    ModelLine,
    ProfileLine,
    VariantLine,
)
from planner.domain.evaluation import Evaluation
from planner.domain.profile import Environment, Profile
from planner.errors import InvalidInput
from worker.campaign.bundle import Manifest, opened, read_manifest
from worker.campaign.findings import Findings, gather

MODULE: Final = "python -m worker.campaign.fold"
DIGITS: Final = 9
_PATH: Final = re.compile(r"(?<![\w./:])/(?:[^\s/:'\"`]+/)+([^\s/:'\"`]+)")
"""An absolute path: of it only the file's name is kept, since where it lay is of one machine only."""


def fold(bundles: Iterable[Path]) -> tuple[str, bytes]:
    """Return the campaign's name and the content of its file. Raises InvalidInput for bundles that do not go together."""
    with ExitStack() as stack:
        folders = [stack.enter_context(opened(path)) for path in bundles]
        manifests = [_manifest(folder) for folder in folders]
        newest = max(manifests, key=lambda manifest: manifest.made_at)
        if len({manifest.campaign for manifest in manifests}) != 1:
            names = ", ".join(sorted({manifest.campaign for manifest in manifests}))
            raise InvalidInput("bundles", f"are of several campaigns: {names}", allowed="bundles of one")
        findings = gather(folders, campaign=newest.campaign)
    lines = [_header(newest), *_lines(findings)]
    return newest.campaign, b"".join(
        msgspec.json.encode(_rounded(msgspec.to_builtins(line))) + b"\n" for line in lines
    )


def checked(name: str, content: bytes) -> None:
    """Raise InvalidInput unless the catalogue with this campaign's file is whole."""
    assemble({**read_files(), f"{FOLDER}/{name}.jsonl": content})


def _manifest(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    if manifest is None:
        raise InvalidInput("bundles", f"`{folder}` has no manifest", allowed="campaign.tar.gz files")
    return manifest


def _header(manifest: Manifest) -> CampaignLine:
    return CampaignLine(
        id=manifest.campaign,
        description=manifest.description,
        command=f"worker campaign {manifest.campaign}",
        fold=MODULE,
        made_at=manifest.made_at,
        campaign_digest=manifest.campaign_digest,
        versions=manifest.versions,
    )


def _lines(findings: Findings) -> list[Line]:
    evidence: list[Profile | Evaluation] = [*findings.profiles, *findings.evaluations]
    shared = _shared([item.environment for item in evidence])
    lines: list[Line] = [ModelLine(model=model) for model in findings.models]
    lines += [DeviceLine(device=device) for device in findings.devices]
    lines += [EnvironmentLine(id=name, environment=environment) for name, environment in shared.items()]
    lines += [VariantLine(variant=variant) for variant in findings.variants]
    for item in evidence:
        name = next(name for name, environment in shared.items() if _is_of(item.environment, environment))
        own = {key: value for key, value in item.environment.facts.items() if key not in shared[name].facts}
        bare = msgspec.structs.replace(item, environment=Environment(facts=own))
        if isinstance(bare, Profile):
            lines.append(ProfileLine(profile=bare, environment=name))
        else:
            lines.append(EvaluationLine(evaluation=bare, environment=name))
    lines += [
        FailureLine(
            unit=unit,
            reason=failure.reason,
            message=_PATH.sub(lambda path: path[1], failure.message)[:500],
        )
        for unit, failure in findings.failures
    ]
    return lines


def _shared(environments: list[Environment]) -> dict[str, Environment]:
    """Return one environment for all that differ in facts alone, with the facts that none of them contradicts."""
    groups: list[list[Environment]] = []
    for environment in environments:
        for group in groups:
            if _is_of(environment, group[0]):
                group.append(environment)
                break
        else:
            groups.append([environment])
    found: dict[str, Environment] = {}
    for number, group in enumerate(groups, start=1):
        common = {
            key: value
            for key, value in sorted(group[0].facts.items())
            if all(other.facts.get(key) == value for other in group)
        }
        found[f"e{number}"] = msgspec.structs.replace(group[0], facts=common)
    return found


def _is_of(environment: Environment, group: Environment) -> bool:
    return (
        environment.device_name == group.device_name
        and environment.driver == group.driver
        and dict(environment.versions) == dict(group.versions)
    )


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return float(f"{value:.{DIGITS}g}")
        case dict():
            return {key: _rounded(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_rounded(inner) for inner in value]
        case _:
            return value


@click.command("fold")
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("planner/catalogue/data") / FOLDER,
    show_default=True,
    help="Folder of the measured part of the catalogue.",
)
def main(*, bundles: tuple[Path, ...], into: Path) -> None:
    """Write the evidence of one campaign's BUNDLES into the catalogue; the whole catalogue is checked first."""
    name, content = fold(bundles)
    checked(name, content)
    into.mkdir(parents=True, exist_ok=True)
    (into / f"{name}.jsonl").write_bytes(content)
    click.echo(f"{into / name}.jsonl: {len(content.splitlines())} records, {len(content):,} bytes")


if __name__ == "__main__":
    main()
