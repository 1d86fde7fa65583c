"""Units: what a campaign's steps come to, one by one, each known by the digest of all that decides its result."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from planner.catalogue import Catalogue
from planner.catalogue.shapes import shape_variant
from planner.domain.architecture import Architecture
from planner.domain.profile import NotMeasured
from planner.errors import InvalidInput
from worker.campaign.points import choose_points
from worker.campaign.specification import (
    TRAINED,
    Campaign,
    Machine,
    RecipeStep,
    ShapeStep,
    TrainStep,
    chosen_recipe,
)
from worker.engines.transformers import Mode
from worker.measure.profile import DEFAULT_WORKLOADS, Conditions
from worker.recipes import AnyRecipe, recipe_name

VERSION: Final = 1
"""Part of every key: raised when the same unit would be measured in another way than before."""
RECIPE_SECONDS: Final = 90.0
"""Assumed for a recipe whose step states nothing: four processes that each load libraries and a small model."""
TRAINING_OVERHEAD_SECONDS: Final = 90.0
"""Reading and encoding the corpus, compiling, saving and checking."""
LOAD_BYTES_PER_SECOND: Final = 4e9
"""At which synthetic weights are made and quantized on the device."""
_UNSAFE: Final = re.compile(r"[^a-z0-9.]+")


class ShapeWork(msgspec.Struct, frozen=True, kw_only=True, tag="shape"):
    """One shape under one recipe, over its workload points."""

    model: str
    architecture: Architecture
    variant_id: str
    """The catalogue's variant that the profile is about."""
    recipe: AnyRecipe
    conditions: Conditions
    kernels: str
    """Value of `worker.engines.kernels.Kernels`."""


class RecipeWork(msgspec.Struct, frozen=True, kw_only=True, tag="recipe"):
    """One recipe on one model."""

    model: str
    register_as: str | None
    recipe: AnyRecipe
    conditions: Conditions
    documents: int | None
    tasks: tuple[Literal["next-line", "finish-line"], ...]
    window: int
    build_device: str
    device: str
    threads: int | None
    evaluate: bool
    trained_by: str | None = None
    """Key of the train unit whose model it is."""


class TrainWork(msgspec.Struct, frozen=True, kw_only=True, tag="train"):
    """One training run."""

    name: str
    size: str
    seconds: float
    steps: int | None
    batch: int
    seed: int
    compile: bool
    device: str
    roots: tuple[str, ...]


Work = ShapeWork | RecipeWork | TrainWork


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A piece of work that is done or not done as a whole (a shape: point by point)."""

    key: str
    title: str
    work: Work
    estimate_seconds: float
    load_seconds: float = 0.0
    """Of the estimate, what passes before the first point of a shape."""
    left_out: tuple[NotMeasured, ...] = ()
    """Points that are not tried, of a shape."""
    needs: str | None = None
    """Key of the unit whose files it reads."""
    keep_files: bool = False

    @property
    def kind(self) -> str:
        """shape, recipe or train."""
        return str(self.work.__struct_config__.tag)

    @property
    def folder(self) -> str:
        """Name of the unit's folder: readable, and unique by its key."""
        return f"{_UNSAFE.sub('-', self.title.lower()).strip('-')[:80]}-{self.key[:8]}"


def units_of(campaign: Campaign, catalogue: Catalogue) -> tuple[Unit, ...]:
    """Return the units of a campaign in its order, each once. Raises InvalidInput, NotFound naming what is wrong."""
    found: dict[str, Unit] = {}
    trained: dict[str, str] = {}
    for step in campaign.steps:
        match step:
            case ShapeStep():
                units = list(_shapes(step, campaign.machine, catalogue))
            case RecipeStep():
                units = list(_recipes(step, trained))
            case TrainStep():
                unit = _training(step)
                trained[step.name] = unit.key
                units = [unit]
        for unit in units:
            found.setdefault(unit.key, unit)
    return tuple(found.values())


def key_of(work: Work) -> str:
    """Return the hexadecimal digest of everything that decides the result.

    Which points of a shape are measured is not part of it: points can be added, and a run can end between two of them.
    """
    if isinstance(work, ShapeWork):
        conditions = msgspec.structs.replace(
            work.conditions, workloads=DEFAULT_WORKLOADS, point_limit_seconds=None
        )
        work = msgspec.structs.replace(work, conditions=conditions)
    content: dict[str, Any] = {"version": VERSION, "work": msgspec.to_builtins(work)}
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()


def _shapes(step: ShapeStep, machine: Machine, catalogue: Catalogue) -> Iterator[Unit]:
    models = {model.id: model for model in catalogue.models}
    for model_id in step.models:
        for chosen in step.recipes:
            recipe = chosen_recipe(chosen)
            variant_id = shape_variant(catalogue, model_id, recipe.scheme)
            architecture = models[model_id].architecture
            points = choose_points(
                architecture,
                recipe.scheme,
                batches=step.batches,
                contexts=step.contexts,
                output_tokens=step.output_tokens,
                repetition=step.repetition,
                point_limit_seconds=step.point_limit_seconds,
                machine=machine,
            )
            if not points.workloads:
                raise InvalidInput(
                    "campaign.steps",
                    f"no workload point of `{model_id}` under `{recipe_name(recipe)}` can be measured: "
                    + (points.left_out[0].detail or "" if points.left_out else "all are beyond its context"),
                    allowed="smaller points, another recipe, or a larger machine",
                )
            work = ShapeWork(
                model=model_id,
                architecture=architecture,
                variant_id=variant_id,
                recipe=recipe,
                conditions=Conditions(
                    workloads=points.workloads,
                    device=step.device,
                    mode=Mode.COMPILED,
                    kernels=step.kernels,
                    repetition=step.repetition,
                    point_limit_seconds=step.point_limit_seconds,
                    thorough=step.thorough,
                ),
                kernels=step.kernels.value,
            )
            loading = machine.start_seconds + 2 * architecture.parameters / LOAD_BYTES_PER_SECOND
            yield Unit(
                key=key_of(work),
                title=f"shape {model_id} {recipe.variant_name}",
                work=work,
                estimate_seconds=step.estimate_seconds or loading + points.seconds,
                load_seconds=loading,
                left_out=points.left_out,
            )


def _recipes(step: RecipeStep, trained: dict[str, str]) -> Iterator[Unit]:
    needs = trained[step.model.removeprefix(TRAINED)] if step.model.startswith(TRAINED) else None
    name = step.model.removeprefix(TRAINED).rpartition("/")[2]
    for chosen in step.recipes:
        recipe = chosen_recipe(chosen)
        work = RecipeWork(
            model=step.model,
            register_as=step.register_as,
            recipe=recipe,
            conditions=step.conditions,
            documents=step.documents,
            tasks=step.tasks,
            window=step.window,
            build_device=step.build_device,
            device=step.device,
            threads=step.threads,
            evaluate=step.evaluate,
            trained_by=needs,
        )
        yield Unit(
            key=key_of(work),
            title=f"recipe {name} {recipe.variant_name}{_how(step.conditions)}",
            work=work,
            estimate_seconds=step.estimate_seconds or RECIPE_SECONDS,
            needs=needs,
            keep_files=step.keep_files,
        )


def _how(conditions: Conditions) -> str:
    """Return how it is measured, where that is not the ordinary way."""
    ways = [conditions.mode.value] if conditions.mode is not Mode.EAGER else []
    ways += [conditions.batching] if conditions.batching != "static" else []
    return "".join(f", {way}" for way in ways)


def _training(step: TrainStep) -> Unit:
    work = TrainWork(
        name=step.name,
        size=step.size,
        seconds=step.seconds,
        steps=step.steps,
        batch=step.batch,
        seed=step.seed,
        compile=step.compile,
        device=step.device,
        roots=step.roots,
    )
    return Unit(
        key=key_of(work),
        title=f"train {step.name}",
        work=work,
        estimate_seconds=step.estimate_seconds or step.seconds + TRAINING_OVERHEAD_SECONDS,
        keep_files=True,
    )
