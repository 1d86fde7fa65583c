from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
import torch

from planner.domain.evaluation import Decision, Evaluation
from planner.domain.job import FailureReason
from planner.errors import InvalidFile, InvalidInput
from worker.evaluate.comparison import Certify, compare
from worker.evaluate.harness import Log, convert, evaluate_harness_task, pair_keys
from worker.evaluate.models import ModelPair
from worker.failure import JobFailed
from worker.measure.environment import capture
from worker.reference.tasks import task_path

pytestmark = pytest.mark.worker

TASK = """\
task: tiny_lines
dataset_path: json
dataset_kwargs:
  data_files: {test: lines.jsonl}
test_split: test
output_type: multiple_choice
doc_to_text: "{{context}}"
doc_to_choice: "{{choices}}"
doc_to_target: answer
target_delimiter: ""
metric_list:
  - metric: acc
  - metric: acc_norm
metadata:
  version: 1.0
"""


def _sample(doc: int, acc: float, **other: object) -> dict[str, object]:
    hashes = {"doc_hash": f"d{doc}", "prompt_hash": f"p{doc}", "target_hash": f"t{doc}", "filter": "none"}
    return {
        **hashes,
        "metrics": {"acc": acc, "perplexity": 7.5},
        "choices": 4,
        "type": "multiple_choice",
        **other,
    }


def _log(scores: list[float], **other: object) -> Log:
    return Log(
        samples={("none", doc): _sample(doc, score, **other) for doc, score in enumerate(scores)},
        higher_is_better={"acc": True, "perplexity": False},
        protocol="p",
    )


@pytest.fixture
def comparison(built):
    cpu = torch.device("cpu")
    return compare(
        built("bf16"),
        "sha256:b",
        built("bf16"),
        "sha256:v",
        ModelPair(built("bf16"), built("bf16"), cpu, together=True),
        environment=capture(cpu),
        certify=Certify(limit=0.2),
        noise_items=0,
    )


def test_logs_become_evaluations_with_paired_counts(comparison):
    base, other = _log([1, 1, 1, 0] * 30), _log([1, 0, 1, 0] * 30)
    (evaluation,) = convert(comparison, "t", base, other, _log([1, 1, 0, 0]))
    assert evaluation.metric == "acc"
    assert evaluation.counts is not None
    assert (evaluation.counts.both_right, evaluation.counts.only_baseline) == (60, 30)
    assert evaluation.chance == 0.25
    assert evaluation.doubt is None
    assert evaluation.mcnemar_p == pytest.approx(2 * 0.5**30)
    assert evaluation.noise_floor is not None
    assert evaluation.noise_floor.value == pytest.approx(1 / 3)
    assert "perplexity" in evaluation.notes[0]
    assert evaluation.certification is not None
    assert evaluation.certification.decision is Decision.VIOLATED
    assert evaluation.items == 120 > evaluation.certification.items


@pytest.mark.parametrize("field", ["doc_hash", "prompt_hash", "target_hash"])
def test_samples_that_answered_another_question_are_not_paired(field):
    with pytest.raises(InvalidInput, match=field):
        pair_keys(_log([1, 0]), _log([1, 0], **{field: "other"}))
    with pytest.raises(InvalidInput, match=field):
        pair_keys(_log([1, 0], **{field: None}), _log([1, 0], **{field: None}))


def test_samples_of_one_run_only_are_not_paired():
    with pytest.raises(InvalidInput, match="1 samples are in one run only"):
        pair_keys(_log([1, 0, 1]), _log([1, 0]))


def test_a_task_without_scores_of_single_samples_is_refused(comparison):
    log = _log([1.0, 2.0])
    with pytest.raises(InvalidInput, match="acc, perplexity"):
        convert(comparison, "t", log, log, None)


@pytest.mark.parametrize("text", ["group: x\n", "task: a\ntask: b\n", "task: [a, b]\n"])
def test_a_file_that_names_no_task_is_refused(comparison, tmp_path, text):
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(InvalidFile, match="is named"):
        evaluate_harness_task(comparison, tmp_path / "t.yaml")


@pytest.mark.skipif(find_spec("lm_eval") is not None, reason="lm-eval is installed")
def test_without_lm_eval_the_job_says_what_to_install(comparison, tmp_path):
    (tmp_path / "t.yaml").write_text(TASK)
    with pytest.raises(JobFailed, match=r"variant-planner\[evaluation\]") as caught:
        evaluate_harness_task(comparison, tmp_path / "t.yaml")
    assert caught.value.reason is FailureReason.KERNEL_UNSUPPORTED


@pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm-eval is not installed")
def test_a_real_task_runs_on_both_models_without_a_network(tmp_path: Path):
    """In a process of its own, as jobs do: lm-eval warns, and changes the working directory while it runs."""
    (tmp_path / "t.yaml").write_text(TASK)
    lines = task_path("next-line").read_text(encoding="utf-8").splitlines()[1:17]
    (tmp_path / "lines.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    job = {
        "kind": "evaluate",
        "variant": {"from": "reference"},
        "baseline": {"from": "reference"},
        "lm_eval": [{"from": "path", "path": str(tmp_path / "t.yaml")}],
        "device": "cpu",
        "noise_items": 4,
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    out = tmp_path / "out"
    subprocess.run(
        [sys.executable, "-m", "worker.cli", "run", "--job", tmp_path / "job.json", "--out", out], check=True
    )
    result = json.loads((out / "result.json").read_bytes())
    evaluations = [
        msgspec.convert(each, Evaluation) for each in (result["evaluation"], *result.get("others", ()))
    ]
    assert sorted(evaluation.metric for evaluation in evaluations) == ["acc", "acc_norm"]
    for evaluation in evaluations:
        assert evaluation.items == 16
        assert evaluation.counts is not None
        assert evaluation.counts.flips == 0
        assert evaluation.baseline_score > 0.3
        assert evaluation.chance == 0.25
        assert "lm-eval" in str(evaluation.protocol)
