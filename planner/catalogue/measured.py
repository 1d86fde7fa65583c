"""Evidence that this project measured itself and ships: the results of campaigns, kept compactly beside the published facts.

A file of `data/measured` is one campaign. Its lines are domain structs as they were measured, except that what many of
them share, the environment, stands once, and that ids are those of the catalogue. `worker.campaign.fold` writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from planner.domain.device import Device
from planner.domain.evaluation import Evaluation
from planner.domain.figure import Basis
from planner.domain.job import FailureReason
from planner.domain.model import Model
from planner.domain.profile import Environment, Profile
from planner.domain.variant import Variant
from planner.errors import InvalidInput

FOLDER: Final = "measured"
Cited = TypeVar("Cited", Model, Device)


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="record"):
    """What all lines have: a tag."""


class CampaignLine(_Line, frozen=True, kw_only=True, tag="campaign"):
    """The first line: which campaign, made by which command, when and on what."""

    id: str
    description: str
    command: str
    """What made the bundle; `fold` is what made this file of it."""
    fold: str
    made_at: datetime
    campaign_digest: str
    """sha256 of the campaign file that was run."""
    versions: Mapping[str, str]

    @property
    def citation(self) -> str:
        """How evidence of the campaign is cited."""
        return f"Variant Planner's own campaign {self.id}, `{self.command}`, {self.made_at:%Y-%m-%d}"


class EnvironmentLine(_Line, frozen=True, kw_only=True, tag="environment"):
    """What profiles and evaluations refer to by `id`."""

    id: str
    environment: Environment


class ModelLine(_Line, frozen=True, kw_only=True, tag="model"):
    """A model of the project's own."""

    model: Model


class DeviceLine(_Line, frozen=True, kw_only=True, tag="device"):
    """A device type that the published catalogue does not know."""

    device: Device


class VariantLine(_Line, frozen=True, kw_only=True, tag="variant"):
    """A variant that was built and measured; its files are not kept."""

    variant: Variant


class ProfileLine(_Line, frozen=True, kw_only=True, tag="profile"):
    """A profile, whose environment is that of the line `environment` and the facts it has of its own."""

    profile: Profile
    environment: str


class EvaluationLine(_Line, frozen=True, kw_only=True, tag="evaluation"):
    """An evaluation, with its environment as a profile's."""

    evaluation: Evaluation
    environment: str


class FailureLine(_Line, frozen=True, kw_only=True, tag="failure"):
    """What was tried and could not be measured, and why."""

    unit: str
    reason: FailureReason
    message: str


Line = (
    CampaignLine
    | EnvironmentLine
    | ModelLine
    | DeviceLine
    | VariantLine
    | ProfileLine
    | EvaluationLine
    | FailureLine
)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What the campaigns found, as the catalogue holds it."""

    models: tuple[Model, ...] = ()
    devices: tuple[Device, ...] = ()
    variants: tuple[Variant, ...] = ()
    profiles: tuple[Profile, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    failures: tuple[FailureLine, ...] = ()


def read_measured(name: str, content: bytes) -> Measured:
    """Return what one campaign's file holds. Raises InvalidInput naming the file."""
    where = f"catalogue/data/{FOLDER}/{name}"
    try:
        lines = msgspec.json.Decoder(Line).decode_lines(content)
    except (msgspec.DecodeError, msgspec.ValidationError, InvalidInput) as error:
        raise InvalidInput(where, str(error)) from error
    if not lines or not isinstance(lines[0], CampaignLine):
        raise InvalidInput(where, "does not begin with its campaign", allowed='{"record":"campaign", …}')
    citation = lines[0].citation
    environments = {line.id: line.environment for line in lines if isinstance(line, EnvironmentLine)}

    def environment(identity: str, own: Environment) -> Environment:
        if identity not in environments:
            raise InvalidInput(where, f"refers to unknown environment `{identity}`")
        shared = environments[identity]
        return msgspec.structs.replace(shared, facts={**shared.facts, **own.facts})

    def cited(item: Cited) -> Cited:
        return msgspec.structs.replace(item, citations=(*item.citations, citation))

    def made(variant: Variant) -> Variant:
        provenance = msgspec.structs.replace(variant.provenance, citation=citation)
        return msgspec.structs.replace(variant, provenance=provenance)

    measured = Measured(
        models=tuple(cited(line.model) for line in lines if isinstance(line, ModelLine)),
        devices=tuple(cited(line.device) for line in lines if isinstance(line, DeviceLine)),
        variants=tuple(made(line.variant) for line in lines if isinstance(line, VariantLine)),
        profiles=tuple(
            msgspec.structs.replace(
                line.profile,
                environment=environment(line.environment, line.profile.environment),
                citation=citation,
            )
            for line in lines
            if isinstance(line, ProfileLine)
        ),
        evaluations=tuple(
            msgspec.structs.replace(
                line.evaluation,
                environment=environment(line.environment, line.evaluation.environment),
                citation=citation,
            )
            for line in lines
            if isinstance(line, EvaluationLine)
        ),
        failures=tuple(line for line in lines if isinstance(line, FailureLine)),
    )
    _check_bases(where, measured)
    return measured


def merge(parts: Iterable[Measured]) -> Measured:
    """Return all campaigns as one. A model or device that stands in several is taken from the first of them."""
    parts = tuple(parts)
    return Measured(
        models=tuple({model.id: model for part in reversed(parts) for model in part.models}.values()),
        devices=tuple({device.id: device for part in reversed(parts) for device in part.devices}.values()),
        variants=tuple(variant for part in parts for variant in part.variants),
        profiles=tuple(profile for part in parts for profile in part.profiles),
        evaluations=tuple(evaluation for part in parts for evaluation in part.evaluations),
        failures=tuple(failure for part in parts for failure in part.failures),
    )


def _check_bases(where: str, measured: Measured) -> None:
    """Only what was measured belongs here, and synthetic weights say nothing of accuracy."""
    evidence: list[Profile | Evaluation] = [*measured.profiles, *measured.evaluations]
    for item in evidence:
        if item.basis is not Basis.MEASURED:
            raise InvalidInput(
                where, f"`{item.id}` is {item.basis.value}", allowed=f"basis {Basis.MEASURED.value}"
            )
    synthetic = {profile.variant_id for profile in measured.profiles if profile.synthetic_weights}
    for evaluation in measured.evaluations:
        if evaluation.variant_id in synthetic:
            raise InvalidInput(where, f"`{evaluation.id}` is of a variant measured on synthetic weights")
