from __future__ import annotations

from typing import Any

import pytest

from planner.domain.job import JobKind
from planner.domain.job_spec import check_spec
from planner.errors import InvalidInput

REFERENCE = {"from": "reference"}
REGISTRY = {"from": "registry", "variant": "prod"}
BUILD = {"base": REFERENCE, "recipe": {"recipe": "newer_than_this_server", "bits": 3}}


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (JobKind.BUILD, BUILD),
        (JobKind.BUILD, {**BUILD, "kind": "build", "name": "x", "device": "cpu", "timeout_seconds": 60}),
        (JobKind.MEASURE, {"variant": REGISTRY, "conditions": {"threads": 1}}),
        (JobKind.EVALUATE, {"variant": REGISTRY, "baseline": REFERENCE, "limit": 4}),
        (
            JobKind.EVALUATE,
            {"variant": REGISTRY, "baseline": REFERENCE, "dataset": {"from": "blob", "sha256": "0" * 64}},
        ),
    ],
)
def test_what_a_worker_can_do_is_accepted(kind: JobKind, spec: dict[str, Any]) -> None:
    check_spec(kind, spec)


@pytest.mark.parametrize(
    ("kind", "spec", "field", "allowed"),
    [
        (JobKind.BUILD, {"x": 1}, "spec.x", "base"),
        (JobKind.BUILD, {**BUILD, "kind": "measure"}, "spec.kind", "build"),
        (JobKind.BUILD, {"recipe": BUILD["recipe"]}, "spec.base", "registry or reference"),
        (JobKind.BUILD, {"base": REFERENCE}, "spec.recipe", "recipe"),
        (JobKind.BUILD, {**BUILD, "recipe": "int8"}, "spec.recipe", "object"),
        (JobKind.BUILD, {**BUILD, "recipe": {}}, "spec.recipe.recipe", "name of a recipe"),
        (JobKind.BUILD, {**BUILD, "recipe": {"recipe": " "}}, "spec.recipe.recipe", "name of a recipe"),
        (JobKind.BUILD, {**BUILD, "base": {"from": "bogus"}}, "spec.base.from", "registry or reference"),
        (JobKind.BUILD, {**BUILD, "base": {"from": "path", "path": "/etc"}}, "spec.base.from", "registry"),
        (JobKind.BUILD, {**BUILD, "base": {"from": ["x"]}}, "spec.base.from", "registry or reference"),
        (JobKind.MEASURE, {"variant": {"from": "registry"}}, "spec.variant.variant", "alias"),
        (JobKind.MEASURE, {"variant": None}, "spec.variant", "object"),
        (JobKind.EVALUATE, {"variant": REGISTRY}, "spec.baseline", "registry or reference"),
        (
            JobKind.EVALUATE,
            {"variant": REGISTRY, "baseline": REFERENCE, "dataset": {"from": "path", "path": "x"}},
            "spec.dataset.from",
            "blob or reference",
        ),
    ],
)
def test_what_no_worker_could_do_is_refused(
    kind: JobKind, spec: dict[str, Any], field: str, allowed: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_spec(kind, spec)
    assert caught.value.details["field"] == field
    assert allowed in caught.value.details["allowed"]


def test_tasks_of_an_evaluation_are_checked_one_by_one():
    job = {"variant": REGISTRY, "baseline": REFERENCE}
    check_spec(
        JobKind.EVALUATE,
        {
            **job,
            "tasks": [{"from": "reference", "task": "next-line"}, {"from": "blob", "sha256": "0" * 64}],
            "certify": {"limit": 0.01},
            "noise_items": 0,
        },
    )
    for tasks, place in (
        ({}, "spec.tasks"),
        ([1], r"spec.tasks\[0\]"),
        ([{"from": "reference"}], r"spec.tasks\[0\].task"),
        ([{"from": "path", "path": "x"}], r"spec.tasks\[0\].from"),
    ):
        with pytest.raises(InvalidInput, match=place):
            check_spec(JobKind.EVALUATE, {**job, "tasks": tasks})
    with pytest.raises(InvalidInput, match=r"spec.lm_eval"):
        check_spec(JobKind.EVALUATE, {**job, "lm_eval": [{"from": "path", "path": "x"}]})
