from __future__ import annotations

import msgspec
import pytest

from planner.domain.job import JobKind
from planner.errors import InvalidInput
from worker.jobs import (
    BuildSpec,
    EvaluateSpec,
    MeasureSpec,
    Spec,
    parse_job_file,
    parse_result,
    parse_spec,
    spec_of,
)
from worker.recipes.intx_weight_only import IntxWeightOnly
from worker.sources import RegistrySource

pytestmark = pytest.mark.worker

BUILD = {"kind": "build", "base": {"from": "reference"}, "recipe": {"recipe": "intx_weight_only", "bits": 3}}
MEASURE = {
    "kind": "measure",
    "variant": {"from": "registry", "variant": "prod"},
    "conditions": {"workloads": [{"input_tokens": 8, "output_tokens": 4}], "mode": "compiled"},
}
EVALUATE = {
    "kind": "evaluate",
    "variant": {"from": "path", "path": "v"},
    "baseline": {"from": "reference"},
    "limit": 4,
}


def test_specifications_are_read_by_kind():
    build, measure, evaluate = (parse_spec(document) for document in (BUILD, MEASURE, EVALUATE))
    assert isinstance(build, BuildSpec)
    assert build.recipe == IntxWeightOnly(bits=3)
    assert isinstance(measure, MeasureSpec)
    assert measure.variant == RegistrySource(variant="prod")
    assert isinstance(evaluate, EvaluateSpec)
    assert evaluate.dataset is None


@pytest.mark.parametrize("document", [BUILD, MEASURE, EVALUATE])
def test_a_job_file_round_trips(document):
    spec = parse_spec(document)
    assert parse_job_file(msgspec.json.encode(spec)) == spec
    assert msgspec.json.decode(msgspec.json.encode(spec), type=Spec) == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "train"}, "Invalid value 'train'"),
        ({"recipes": 1}, "unknown field `recipes`"),
        ({"recipe": {"recipe": "int9"}}, "Invalid value 'int9'"),
        ({"recipe": {"recipe": "intx_weight_only", "bits": 7}}, "recipe.bits: 7 is not allowed"),
        ({"base": {"from": "hub", "path": "x"}}, "Invalid value 'hub'"),
        ({"base": "reference"}, "Expected `object`"),
    ],
)
def test_a_wrong_specification_is_named(change, message):
    with pytest.raises(InvalidInput) as caught:
        parse_spec({**BUILD, **change})
    assert message in caught.value.message


def test_a_job_file_that_is_not_json_is_refused():
    with pytest.raises(InvalidInput, match="is not JSON"):
        parse_job_file(b"{")


def test_a_leased_job_has_its_kind_apart():
    document = {key: value for key, value in BUILD.items() if key != "kind"}
    assert spec_of(JobKind.BUILD, document) == parse_spec(BUILD)
    assert spec_of(JobKind.BUILD, BUILD) == parse_spec(BUILD)
    with pytest.raises(InvalidInput, match="contradicts the job"):
        spec_of(JobKind.MEASURE, BUILD)


def test_a_result_of_no_known_kind_is_refused():
    with pytest.raises(InvalidInput, match="result"):
        parse_result(b'{"kind": "other"}')
