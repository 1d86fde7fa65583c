"""What a campaign's results say, in the catalogue's terms: its models, variants by name, and evidence about them.

A build whose files were not kept is known by its content digest only; here it becomes "published:<model>/<recipe>", and
the profile and evaluation of the digest become its own. All variants of a model must come from the same weights.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from planner.catalogue import load_catalogue
from planner.domain.architecture import Architecture
from planner.domain.device import Device
from planner.domain.evaluation import Evaluation
from planner.domain.figure import Basis, exact
from planner.domain.job import Failure
from planner.domain.model import Model
from planner.domain.profile import Profile
from planner.domain.scheme import NumberFormat
from planner.domain.units import Unit
from planner.domain.variant import FileFormat, Variant
from planner.errors import InvalidInput
from worker.campaign.ledger import FACTS_FILE, UNIT_FILE, UNITS, Record, read_record
from worker.jobs import BuildResult, EvaluateResult, MeasureResult
from worker.reference.model import ModelShape
from worker.reference.sizes import SHAPES
from worker.runner import RESULT_FILE
from worker.submit import read_result

PUBLISHED: Final = "published:"
OWN: Final = {"reference-small": "small", "reference-large": "large"}
"""Models of the project's own, and the size they are."""
_NOT_IN_ID: Final = re.compile(r"[^a-z0-9.+@]+")


@dataclass
class Findings:
    """Everything that is to ship, ids already those of the catalogue."""

    campaign: str
    models: list[Model] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    variants: list[Variant] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    """Catalogue ids of content digests."""
    bases: dict[str, str] = field(default_factory=dict)
    """Digest of the weights that every variant of a model was built from."""


class _Trained(msgspec.Struct, frozen=True):
    """Of a training run's facts, what makes a model of it."""

    shape: ModelShape


def gather(folders: Sequence[Path], *, campaign: str) -> Findings:
    """Return what the unpacked bundles in `folders` say; a unit that is in several counts once.

    Raises InvalidInput when results do not belong together.
    """
    findings = Findings(campaign=campaign)
    units: dict[str, tuple[Path, Record]] = {}
    for folder in folders:
        for path in sorted((folder / UNITS).glob(f"*/{UNIT_FILE}")):
            record = read_record(path.parent)
            if record is not None:
                before = units.get(record.key)
                if before is None or before[1].started_at <= record.started_at:
                    units[record.key] = (path.parent, record)
    ordered = sorted(units.values(), key=lambda pair: (pair[1].kind != "train", pair[1].started_at))
    succeeded = {record.title: record.started_at for _, record in ordered if not record.failures}
    for folder, record in ordered:
        if succeeded.get(record.title, record.started_at) <= record.started_at:  # else a later trial did it
            findings.failures += [(record.title, failure) for failure in record.failures]
        if record.kind == "train" and (folder / FACTS_FILE).is_file():
            trained = msgspec.json.decode((folder / FACTS_FILE).read_bytes(), type=_Trained)
            _add_model(findings, record.title.removeprefix("train "), trained.shape)
        elif record.kind == "recipe":
            _add_recipe(findings, folder)
        else:
            for path in sorted(folder.glob(f"run-*/{RESULT_FILE}")):
                _add_profile(findings, read_result(path.parent))
    return findings


def _add_model(findings: Findings, name: str, shape: ModelShape) -> None:
    if any(model.id == name for model in findings.models):
        return
    architecture = Architecture(
        hidden_size=shape.hidden,
        layers=shape.layers,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_width,
        intermediate_size=shape.intermediate,
        vocab_size=shape.vocabulary,
        tied_embeddings=True,
        max_context=shape.context,
        model_type="llama",
    )
    size = name.removeprefix("reference-")
    model = Model(
        id=name,
        name=f"Reference {size}",
        family="Reference",
        architecture=architecture,
        parameters=architecture.parameters,
        reference_format=NumberFormat.BF16,
        size_billions=round(architecture.parameters / 1e9, 4),
        license="Apache-2.0",
        note="trained by `worker train-reference` on Python source; for measuring what recipes do, not for use",
    )
    findings.models.append(model)


def _add_recipe(findings: Findings, folder: Path) -> None:
    if not (folder / "build" / RESULT_FILE).is_file():
        return
    build = read_result(folder / "build")
    if not isinstance(build, BuildResult):
        raise InvalidInput("bundles", f"`{folder.name}/build` holds no build")
    known = {model.id for model in (*load_catalogue().models, *findings.models)}
    if build.model in OWN and build.model not in {model.id for model in findings.models}:
        _add_model(findings, build.model, SHAPES[OWN[build.model]])
    elif build.model not in known:
        raise InvalidInput(
            "bundles",
            f"`{folder.name}` is of unknown model `{build.model}`",
            allowed="register_as = a model of the catalogue, or " + ", ".join(OWN),
        )
    base = build.provenance.base_variant_id
    if base is None or findings.bases.setdefault(build.model, base) != base:
        raise InvalidInput(
            "bundles",
            f"`{folder.name}` was built from other weights of `{build.model}` than those before it",
            allowed="bundles of one training",
        )
    variant = _variant(build)
    if findings.names.get(build.variant_id) != variant.id:
        if any(other.id == variant.id for other in findings.variants):
            raise InvalidInput(
                "bundles",
                f"hold two different `{variant.id}`",
                allowed="builds of one recipe that are bit-equal",
            )
        findings.variants.append(variant)
    findings.names[build.variant_id] = variant.id
    # The base is what its own BF16 build is, whether or not that is bit-equal in its files.
    findings.names[base] = f"{PUBLISHED}{build.model}/{NumberFormat.BF16.value}"
    for name in ("measure", "evaluate"):
        if (folder / name / RESULT_FILE).is_file():
            result = read_result(folder / name)
            _add_profile(findings, result)
            _add_evaluations(findings, result)


def _variant(build: BuildResult) -> Variant:
    identity = f"{PUBLISHED}{build.model}/{_key(build.name)}"
    reference = f"{PUBLISHED}{build.model}/{NumberFormat.BF16.value}"
    weights = build.weights
    is_gguf = any(artifact.path.endswith(".gguf") for artifact in build.artifacts)
    return Variant(
        id=identity,
        model_id=build.model,
        name=f"{build.model}-{_key(build.name)}",
        scheme=build.scheme,
        file_format=FileFormat.GGUF if is_gguf else FileFormat.SAFETENSORS,
        weight_bytes=exact(float(weights.total_bytes), Unit.BYTES, basis=Basis.MEASURED),
        parameters=weights.parameters,
        effective_bits=weights.effective_bits,
        provenance=msgspec.structs.replace(
            build.provenance,
            base_variant_id=None if identity == reference else reference,
            facts={**build.provenance.facts, "content_digest": build.variant_id},
        ),
        runtimes=build.runtimes,
    )


def _add_profile(findings: Findings, result: object) -> None:
    if not isinstance(result, MeasureResult):
        return
    if result.device is not None and result.device not in findings.devices:
        findings.devices.append(result.device)
    profile = result.profile
    if not profile.points:
        return
    variant_id = _named(findings, profile.variant_id)
    path = variant_id.removeprefix(PUBLISHED)
    place = _key(profile.device_id) + (f"-x{profile.devices}" if profile.devices > 1 else "")
    stem = f"measured:{findings.campaign}/{path}@{place}/{_key(profile.runtime.name, profile.runtime.mode)}"
    number = sum(other.id.partition("#")[0] == stem for other in findings.profiles) + 1
    identity = stem if number == 1 else f"{stem}#{number}"
    findings.profiles.append(
        _renamed(profile, Profile, {profile.id: identity, profile.variant_id: variant_id})
    )


def _add_evaluations(findings: Findings, result: object) -> None:
    if not isinstance(result, EvaluateResult):
        return
    for evaluation in result.evaluations:
        names = {evaluation.variant_id: _named(findings, evaluation.variant_id)}
        if evaluation.baseline_variant_id is not None:
            names[evaluation.baseline_variant_id] = _named(findings, evaluation.baseline_variant_id)
        path = names[evaluation.variant_id].removeprefix(PUBLISHED)
        identity = f"measured:{findings.campaign}/{path}#{_key(evaluation.task, evaluation.metric)}"
        if any(other.id == identity for other in findings.evaluations):
            continue  # of the same bits, on the same items: one is enough
        names[evaluation.id] = identity
        findings.evaluations.append(_renamed(evaluation, Evaluation, names))


def _named(findings: Findings, identity: str) -> str:
    """Return the catalogue's id of what was measured."""
    if identity.startswith(PUBLISHED):
        return identity
    if identity not in findings.names:
        raise InvalidInput("bundles", f"`{identity}` was measured, and its build is not there")
    return findings.names[identity]


def _renamed(item: Any, kind: Any, names: dict[str, str]) -> Any:
    """Return the struct with every id in it, those inside figures too, replaced by its name."""

    def walk(value: Any) -> Any:
        match value:
            case str():
                return names.get(value, value)
            case dict():
                return {key: walk(inner) for key, inner in value.items()}
            case list() | tuple():
                return [walk(inner) for inner in value]
            case _:
                return value

    return msgspec.convert(walk(msgspec.to_builtins(item)), kind)


def _key(*parts: str | None) -> str:
    return _NOT_IN_ID.sub("-", " ".join(part for part in parts if part).lower()).strip("-")
