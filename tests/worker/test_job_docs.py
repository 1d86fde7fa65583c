from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from planner.domain.job import JobKind
from planner.domain.job_spec import check_spec
from worker.jobs import BuildSpec, EvaluateSpec, MeasureSpec, Spec, parse_job_file, spec_of

pytestmark = pytest.mark.worker

TEXT = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```json\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_every_kind_of_job_has_an_example_that_a_worker_and_a_server_take() -> None:
    specs: list[Spec] = [parse_job_file(example.encode()) for example in EXAMPLES]
    assert [type(spec) for spec in specs] == [BuildSpec, MeasureSpec, EvaluateSpec]
    for spec, example in zip(specs, EXAMPLES, strict=True):
        document = json.loads(example)
        check_spec(JobKind(document["kind"]), document)
        assert spec_of(JobKind(document["kind"]), document) == spec
