"""Loading the built-in catalogue from the data files that ship with the package.

The files hold published facts with source keys; everything else (ids, losses, modelled weight bytes, citations) is
derived here, so a fact is written once. What the project measured itself is joined to them. See README.md beside this
module for what each field means.
"""

from __future__ import annotations

import hashlib
import tomllib
from functools import cache
from importlib import resources
from typing import Final, TypeVar

import msgspec

from planner import __version__
from planner.catalogue import build
from planner.catalogue.check import check_ids, check_names, check_references
from planner.catalogue.measured import FOLDER, merge, read_measured
from planner.catalogue.records import Build, Presets, Run, Score, Source
from planner.catalogue.withdrawn import Withdrawal, withdraw
from planner.domain.device import Device
from planner.domain.evaluation import Evaluation
from planner.domain.model import Model
from planner.domain.profile import Profile
from planner.domain.scenario import Preset
from planner.domain.variant import Variant
from planner.errors import InvalidInput

FILES: Final = (
    "sources.jsonl",
    "models.jsonl",
    "devices.jsonl",
    "variants.jsonl",
    "evaluations.jsonl",
    "profiles.jsonl",
    "withdrawn.jsonl",
    "presets.toml",
)

T = TypeVar("T")


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the product knows from the start: every figure published, modelled or measured by us, and cited."""

    models: tuple[Model, ...]
    devices: tuple[Device, ...]
    variants: tuple[Variant, ...]
    evaluations: tuple[Evaluation, ...]
    profiles: tuple[Profile, ...]
    presets: tuple[Preset, ...]
    digest: str
    """Changes whenever a data file or a modelled figure does: "sha256:<hex>"."""


def _lines(files: dict[str, bytes], name: str, record: type[T]) -> list[T]:
    try:
        return msgspec.json.Decoder(record).decode_lines(files[name])
    except (msgspec.DecodeError, msgspec.ValidationError, InvalidInput) as error:
        raise InvalidInput(f"catalogue/data/{name}", str(error)) from error


def _presets(files: dict[str, bytes]) -> tuple[Preset, ...]:
    try:
        return msgspec.convert(tomllib.loads(files["presets.toml"].decode()), Presets).presets
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, InvalidInput) as error:
        raise InvalidInput("catalogue/data/presets.toml", str(error)) from error


@cache
def load_catalogue() -> Catalogue:
    """Return the built-in catalogue, read and checked once per process. Raises InvalidInput when a file is wrong."""
    return assemble(read_files())


def read_files() -> dict[str, bytes]:
    """Return the data files by name: those of FILES, and the campaigns' as "measured/<campaign>.jsonl"."""
    folder = resources.files("planner.catalogue") / "data"
    files = {name: (folder / name).read_bytes() for name in FILES}
    campaigns = folder / FOLDER
    if campaigns.is_dir():
        for path in sorted(campaigns.iterdir(), key=lambda path: path.name):
            if path.name.endswith(".jsonl"):
                files[f"{FOLDER}/{path.name}"] = path.read_bytes()
    return files


def assemble(files: dict[str, bytes]) -> Catalogue:
    """Return the catalogue that `files` (as `read_files` gives them) describe. Raises InvalidInput."""
    measured = merge(
        read_measured(name.partition("/")[2], content)
        for name, content in files.items()
        if name.startswith(f"{FOLDER}/")
    )
    measured = withdraw(measured, _lines(files, "withdrawn.jsonl", Withdrawal))
    citations = build.Citations(_lines(files, "sources.jsonl", Source))
    runs = _lines(files, "profiles.jsonl", Run)
    models = (*citations.cite(_lines(files, "models.jsonl", Model)), *measured.models)
    devices = (*citations.cite(_lines(files, "devices.jsonl", Device)), *measured.devices)
    presets = citations.cite(_presets(files))
    variants = build.variants(
        _lines(files, "variants.jsonl", Build), {model.id: model for model in models}, runs, citations
    )
    variants = (*variants, *measured.variants)
    evaluations = (
        *(build.evaluation(score, citations) for score in _lines(files, "evaluations.jsonl", Score)),
        *measured.evaluations,
    )
    profiles = (*(build.profile(run, citations) for run in runs), *measured.profiles)
    for kind, items in (
        ("models", models),
        ("devices", devices),
        ("presets", presets),
        ("variants", variants),
        ("evaluations", evaluations),
        ("profiles", profiles),
    ):
        check_ids(kind, (item.id for item in items))
    check_names(models, devices, presets)
    check_references(models, devices, variants, evaluations, profiles)
    return Catalogue(
        models=models,
        devices=devices,
        variants=variants,
        evaluations=evaluations,
        profiles=profiles,
        presets=presets,
        digest=_digest(files, variants),
    )


def _digest(files: dict[str, bytes], variants: tuple[Variant, ...]) -> str:
    hashed = hashlib.sha256(__version__.encode())
    for name in sorted(files):
        hashed.update(hashlib.sha256(files[name]).digest())
    # Modelled bytes change with the estimator, without any data file changing.
    hashed.update(msgspec.json.encode([variant.weight_bytes for variant in variants]))
    return "sha256:" + hashed.hexdigest()
