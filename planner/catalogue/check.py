"""Integrity of the loaded catalogue: unique ids, names that mean one thing, references that resolve."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from planner.domain.device import Device
from planner.domain.evaluation import Evaluation
from planner.domain.model import Model
from planner.domain.naming import name_runs
from planner.domain.profile import Profile
from planner.domain.scenario import Preset
from planner.domain.variant import Variant
from planner.errors import InvalidInput


def check_ids(kind: str, ids: Iterable[str]) -> None:
    """Raise InvalidInput when an id of `kind` occurs twice."""
    twice = [identity for identity, count in Counter(ids).items() if count > 1]
    if twice:
        raise InvalidInput(f"catalogue.{kind}", f"holds `{twice[0]}` twice", allowed="unique ids")


def check_names(models: Sequence[Model], devices: Sequence[Device], presets: Sequence[Preset]) -> None:
    """Raise InvalidInput when two things answer to names that differ only in case and separators."""
    owners: dict[tuple[str, ...], str] = {}
    named = [
        *(("model", model.id, model.names()) for model in models),
        *(("device", device.id, device.names()) for device in devices),
        *(("preset", preset.id, (preset.id, preset.name, *preset.aliases)) for preset in presets),
    ]
    for kind, identity, names in named:
        owner = f"{kind} {identity}"
        for name in names:
            runs = name_runs(name)
            if not runs:
                raise InvalidInput(
                    f"catalogue: {owner}", f"has the name {name!r}", allowed="letters or digits"
                )
            other = owners.setdefault(runs, owner)
            if other != owner:
                raise InvalidInput(
                    f"catalogue: {owner}",
                    f"shares the name `{name}` with {other}",
                    allowed="one meaning per name",
                )


def check_references(
    models: Sequence[Model],
    devices: Sequence[Device],
    variants: Sequence[Variant],
    evaluations: Sequence[Evaluation],
    profiles: Sequence[Profile],
) -> None:
    """Raise InvalidInput when evidence refers to what is not there, or a model lacks its reference variant."""
    known = {variant.id for variant in variants}
    device_ids = {device.id for device in devices}
    for model in models:
        reference = f"published:{model.id}/{model.reference_format.value}"
        if reference not in known:
            raise InvalidInput(f"catalogue: {model.id}", f"lacks its reference variant `{reference}`")
    for evaluation in evaluations:
        for wanted in (evaluation.variant_id, evaluation.baseline_variant_id):
            if wanted is not None and wanted not in known:
                raise InvalidInput(f"catalogue: {evaluation.id}", f"refers to unknown variant `{wanted}`")
    for profile in profiles:
        if profile.variant_id not in known:
            raise InvalidInput(
                f"catalogue: {profile.id}", f"refers to unknown variant `{profile.variant_id}`"
            )
        if profile.device_id not in device_ids:
            raise InvalidInput(f"catalogue: {profile.id}", f"refers to unknown device `{profile.device_id}`")
