from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from planner.artifacts.manifest import scan
from planner.domain.job import Failure, FailureReason
from planner.domain.variant import manifest_digest
from planner.errors import InvalidInput
from worker.failure import JobFailed, JobStopped
from worker.jobs import BuildResult, EvaluateResult, MeasureResult, parse_result, parse_spec
from worker.recipes import parse_recipe, recipe_digest
from worker.runner import FAILURE_FILE, LOG_FILE, RESULT_FILE, Runner, start_method
from worker.sources import Resolver, directory_digest

pytestmark = pytest.mark.worker


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(Resolver(cache=tmp_path / "cache"), method="forkserver")


def _path(directory: Path) -> dict[str, str]:
    return {"from": "path", "path": str(directory)}


def _build(base: Path, recipe: str = "int8_dynamic", **more: object) -> dict[str, object]:
    return {"kind": "build", "base": _path(base), "recipe": {"recipe": recipe}, "device": "cpu", **more}


def test_a_build_leaves_files_result_and_log(base, runner, tmp_path):
    out, heard = tmp_path / "out", []
    result = runner.run(parse_spec(_build(base)), out, report=lambda share, text: heard.append(share))
    assert isinstance(result, BuildResult)
    assert parse_result((out / RESULT_FILE).read_bytes()) == result
    assert (
        result.variant_id
        == manifest_digest(scan(out / result.directory))
        == manifest_digest(result.artifacts)
    )
    assert (out / LOG_FILE).exists()
    assert (result.model, result.name) == ("tiny-llama", "int8-dynamic")
    provenance = result.provenance
    assert (provenance.recipe, provenance.base_variant_id) == ("int8_dynamic", directory_digest(base))
    assert provenance.recipe_digest == recipe_digest(parse_recipe("int8_dynamic"))
    assert provenance.versions["torchao"]
    assert provenance.build_seconds
    assert provenance.build_peak_bytes
    assert result.reload.bit_equal
    assert heard == sorted(heard)
    assert not [path for path in (out / "variant").iterdir() if path.name in {RESULT_FILE, LOG_FILE}]


def test_builds_in_different_processes_have_the_same_digest(base, runner, tmp_path):
    ids = {runner.run(parse_spec(_build(base)), tmp_path / name).variant_id for name in ("a", "b")}
    assert len(ids) == 1


def test_measuring_and_evaluating_name_the_variant_by_its_content(built, runner, tmp_path, text_file):
    variant, baseline = built("int8_weight_only"), built("bf16")
    measured = runner.run(
        parse_spec(
            {
                "kind": "measure",
                "variant": _path(variant),
                "conditions": {
                    "device": "cpu",
                    "workloads": [{"input_tokens": 8, "output_tokens": 4}],
                    "repetition": {"budget_seconds": 0.1},
                },
            }
        ),
        tmp_path / "m",
    )
    assert isinstance(measured, MeasureResult)
    assert measured.profile.variant_id == directory_digest(variant)
    evaluated = runner.run(
        parse_spec(
            {
                "kind": "evaluate",
                "variant": _path(variant),
                "baseline": _path(baseline),
                "dataset": _path(text_file),
                "device": "cpu",
            }
        ),
        tmp_path / "e",
    )
    assert isinstance(evaluated, EvaluateResult)
    assert evaluated.evaluation.variant_id == directory_digest(variant)
    assert evaluated.evaluation.baseline_variant_id == directory_digest(baseline)
    for name, result in (("m", measured), ("e", evaluated)):
        assert parse_result((tmp_path / name / RESULT_FILE).read_bytes()) == result


def test_a_failed_job_leaves_the_typed_failure_and_no_result(base_copy, runner, tmp_path):
    weights = base_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(JobFailed) as caught:
        runner.run(parse_spec(_build(base_copy)), tmp_path / "out")
    assert caught.value.reason is FailureReason.ARTIFACT_CORRUPT
    failure = msgspec.json.decode((tmp_path / "out" / FAILURE_FILE).read_bytes(), type=Failure)
    assert failure.reason is FailureReason.ARTIFACT_CORRUPT
    assert "model.safetensors" in failure.message
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [FAILURE_FILE, LOG_FILE]


def test_a_job_may_be_tried_again_where_it_failed(base, base_copy, runner, tmp_path):
    (base_copy / "config.json").unlink()
    with pytest.raises(JobFailed):
        runner.run(parse_spec(_build(base_copy)), tmp_path / "out")
    runner.run(parse_spec(_build(base)), tmp_path / "out")
    assert (tmp_path / "out" / RESULT_FILE).exists()
    assert not (tmp_path / "out" / FAILURE_FILE).exists()


def test_a_result_is_not_written_over(runner, base, tmp_path):
    (tmp_path / RESULT_FILE).write_text("{}")
    with pytest.raises(InvalidInput, match="holds a result already"):
        runner.run(parse_spec(_build(base)), tmp_path)


def test_a_time_limit_is_kept(base, runner, tmp_path):
    with pytest.raises(JobFailed) as caught:
        runner.run(parse_spec(_build(base, timeout_seconds=0.001)), tmp_path / "out")
    assert caught.value.reason is FailureReason.TIMEOUT
    with pytest.raises(JobFailed, match="timeout_seconds"):
        runner.run(parse_spec(_build(base, timeout_seconds=-1)), tmp_path / "out")


def test_a_stopped_job_leaves_nothing_behind_but_its_log(base, tmp_path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(JobStopped):
        Runner(Resolver(cache=tmp_path / "cache"), method="forkserver", stop=stop).run(
            parse_spec(_build(base)), tmp_path / "out"
        )
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {LOG_FILE}


def test_sources_that_cannot_be_had_are_refused(base, tmp_path):
    strict = Resolver(cache=tmp_path, allow_paths=False)
    with pytest.raises(InvalidInput, match=r"base: names a path of the worker's machine"):
        Runner(strict).run(parse_spec(_build(base)), tmp_path / "a")
    spec = {"kind": "measure", "variant": {"from": "registry", "variant": "prod"}}
    with pytest.raises(InvalidInput, match="variant: is on a server"):
        Runner(strict).run(parse_spec(spec), tmp_path / "b")
    with pytest.raises(InvalidInput, match="does not exist"):
        Runner(Resolver(cache=tmp_path)).run(parse_spec(_build(tmp_path / "absent")), tmp_path / "c")


def test_children_on_the_cpu_are_copies_of_a_warm_process():
    assert start_method("cpu") == "forkserver"
    assert start_method("cuda:0") == "spawn"
