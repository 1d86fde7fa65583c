"""The server's table of recipes against the recipes of the worker."""

from __future__ import annotations

import pytest

from planner.choose.builds import builds
from planner.choose.recipes import LEFT_OUT, RECIPES, KnownRecipe
from planner.choose.value_of_measurement import measurements
from planner.domain.constraint import LossLimit
from planner.domain.job import JobKind
from planner.domain.job_spec import SHIPPED_TASKS
from planner.domain.scenario import Hardware, Objective, Scenario
from planner.domain.units import GIB
from tests.choose.records import GPU, generate

pytest.importorskip("torchao")


@pytest.mark.worker
@pytest.mark.parametrize("known", RECIPES, ids=lambda known: known.variant_name)
def test_a_known_recipe_is_what_the_worker_builds(known: KnownRecipe) -> None:
    from worker.recipes import parse_recipe, recipe_name

    recipe = parse_recipe(known.recipe, known.settings)
    assert recipe_name(recipe) == known.recipe
    assert recipe.scheme == known.scheme
    assert recipe.variant_name == known.variant_name
    assert recipe.requires == known.requires
    assert recipe.needs == known.needs
    assert recipe.needs_text == known.needs_text
    assert recipe.stored_bits == (known.storage or known.scheme.weight).bits
    if known.group > 1 and known.recipe != "nf4":
        assert recipe.refusal(known.group * 8, known.group * 8) is None
        assert recipe.refusal(known.group * 8 + 8, known.group * 8) is not None


@pytest.mark.worker
def test_every_recipe_of_the_worker_is_known_or_left_out_with_a_reason() -> None:
    from worker.recipes import RECIPES as OWN

    assert {known.recipe for known in RECIPES} | set(LEFT_OUT) == set(OWN)
    assert {known.recipe for known in RECIPES} & set(LEFT_OUT) == set()


@pytest.mark.worker
def test_workers_read_every_suggested_job() -> None:
    """The check of queued jobs knows the shape that all workers agree on; the worker's own reading is stricter."""
    from worker.jobs import spec_of

    index = generate(60, seed=2, profiled=0.0).index()
    questions = [
        Scenario(hardware=Hardware(memory_bytes=24 * GIB), constraints=(LossLimit(limit=0.01),)),
        Scenario(hardware=Hardware(memory_bytes=24 * GIB), constraints=(LossLimit(limit=0.01, task="mmlu"),)),
        Scenario(hardware=Hardware(device_id=GPU.id), objective=Objective.FASTEST),
        Scenario(hardware=Hardware(memory_bytes=2 * GIB), constraints=(LossLimit(limit=0.05),)),
    ]
    jobs = [each.job for question in questions for each in measurements(question, index).measurements]
    jobs += [each.job for question in questions for each in builds(question, index).builds]
    assert {job.kind for job in jobs} == set(JobKind)
    for job in jobs:
        spec_of(job.kind, job.spec)


@pytest.mark.worker
def test_the_tasks_that_come_with_workers_are_known() -> None:
    from typing import get_args, get_type_hints

    from worker.sources import ReferenceTask

    assert set(get_args(get_type_hints(ReferenceTask)["task"])) == set(SHIPPED_TASKS)
