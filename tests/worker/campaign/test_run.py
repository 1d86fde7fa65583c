"""Campaigns run with real child processes, over a tiny model in the place of synthetic weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from planner.domain.job import Failure, FailureReason
from tests.worker.campaign.conftest import STEPS, campaign_of
from tests.worker.campaign.double import failing_engine, tiny_engine
from worker.campaign.execute import Executor
from worker.campaign.ledger import Ledger, Record
from worker.campaign.run import Standing, run_campaign, standings
from worker.campaign.units import TrainWork, units_of
from worker.jobs import EvaluateResult, MeasureResult
from worker.reference.model import ModelShape
from worker.runner import RESULT_FILE
from worker.submit import read_result

pytestmark = pytest.mark.worker
ROOT = Path(__file__).resolve().parents[3]


def _run(units, ledger, *, budget=600.0, load=tiny_engine, executor=None, retry=False):
    heard: list[Standing] = []
    found = run_campaign(
        units,
        ledger,
        executor or Executor(ledger=ledger, load=load, method="forkserver"),
        budget_seconds=budget,
        retry=retry,
        report=lambda *_: None,
        finished=heard.append,
    )
    assert tuple(heard) == found
    return found


class _Recording:
    """Does nothing but note what it was asked for; `ends` says how."""

    def __init__(self, ledger, *, seconds=0.0, ends=None):
        self.ledger, self.asked, self.ends, self.seconds = ledger, [], ends or {}, seconds

    def run(self, unit, *, limit_seconds, report):
        self.asked.append(unit.title)
        failures = self.ends.get(unit.title, ())
        before = self.ledger.record(unit)
        record = Record(
            key=unit.key, title=unit.title, kind=unit.kind, state="failed" if failures else "done", seconds=1.0,
            started_at="2026-01-01T00:00:00Z", failures=failures,  # type: ignore[arg-type]
            attempts=1 + (before.attempts if before else 0),
        )  # fmt: skip
        self.ledger.save(unit, msgspec.convert(msgspec.to_builtins(record), Record))
        return self.ledger.record(unit)


@pytest.fixture(scope="module")
def measured(catalogue, tmp_path_factory):
    ledger = Ledger(tmp_path_factory.mktemp("campaign"))
    units = units_of(campaign_of(STEPS), catalogue)
    return ledger, units, _run(units, ledger)


def test_a_shape_is_measured_once_and_marked_as_synthetic(measured):
    ledger, units, found = measured
    assert [standing.state for standing in found] == ["done", "done"]
    result = read_result(ledger.folder(units[0]) / "run-1")
    assert isinstance(result, MeasureResult)
    profile = result.profile
    assert profile.synthetic_weights
    assert profile.variant_id == "published:tiny/bf16"
    assert profile.environment.facts["shape_of"] == "tiny"
    assert {point.workload for point in profile.points} == set(units[0].work.conditions.workloads)
    assert all(point.tpot_seconds and point.memory.weights_bytes for point in profile.points)
    again = _run(units, ledger, load=failing_engine)
    assert [standing.state for standing in again] == ["before", "before"]
    assert [standing.state for standing in standings(units, ledger)] == ["before", "before"]


def test_points_added_later_are_measured_alone(measured, catalogue):
    ledger, _, _ = measured
    units = units_of(campaign_of(STEPS.replace("[32, 8, 4096]", "[16, 8]")), catalogue)[:1]
    assert standings(units, ledger)[0].why == "some points are left"
    assert _run(units, ledger)[0].state == "done"
    result = read_result(ledger.folder(units[0]) / "run-2")
    assert isinstance(result, MeasureResult)
    assert {point.workload.input_tokens for point in result.profile.points} == {16}


def test_a_failure_is_typed_recorded_and_not_repeated_when_it_cannot_end_differently(catalogue, tmp_path):
    ledger = Ledger(tmp_path)
    units = units_of(campaign_of(STEPS), catalogue)[:1]
    (standing,) = _run(units, ledger, load=failing_engine)
    assert standing.state == "failed"
    assert standing.failures[0].reason is FailureReason.KERNEL_UNSUPPORTED
    assert "Traceback" in str(standing.failures[0].log_tail)
    recording = _Recording(ledger)
    assert _run(units, ledger, executor=recording)[0].state == "failed"
    assert recording.asked == []
    assert _run(units, ledger, executor=recording, retry=True)[0].state == "done"


def test_what_may_pass_is_tried_again_once(catalogue, tmp_path):
    ledger = Ledger(tmp_path)
    unit = units_of(campaign_of(STEPS), catalogue)[1]
    crash = Failure(reason=FailureReason.CRASHED, message="gone")
    recording = _Recording(ledger, ends={unit.title: (crash,)})
    for _ in range(3):
        assert _run([unit], ledger, executor=recording)[0].state == "failed"
    assert len(recording.asked) == 2


TRAINED = """
[[steps]]
kind = "train"
name = "mine"
seconds = 100
estimate_seconds = 120
[[steps]]
kind = "recipe"
model = "trained:mine"
recipes = ["bf16", "int8_weight_only"]
estimate_seconds = 30
[[steps]]
kind = "recipe"
model = "reference"
recipes = ["bf16"]
estimate_seconds = 10
"""


def test_what_does_not_fit_is_left_and_named_and_smaller_work_still_runs(catalogue, tmp_path):
    ledger = Ledger(tmp_path)
    units = units_of(campaign_of(TRAINED), catalogue)
    recording = _Recording(ledger)
    found = _run(units, ledger, budget=50, executor=recording)
    assert [(standing.state, standing.why and standing.why[:16]) for standing in found] == [
        ("left", "estimated at 120"),
        ("left", "waits for `train"),
        ("left", "waits for `train"),
        ("done", None),
    ]
    assert recording.asked == ["recipe reference bf16"]


def test_a_model_that_is_not_here_is_trained_again_only_for_what_is_left(catalogue, tmp_path):
    ledger = Ledger(tmp_path)
    units = units_of(campaign_of(TRAINED), catalogue)
    train, first, second, other = units
    _Recording(ledger).run(train, limit_seconds=1, report=None)
    recording = _Recording(ledger)
    assert _run(units[:1], ledger, executor=recording)[0].state == "before"
    _run([train, first], ledger, executor=recording)
    assert recording.asked == ["train mine"]
    ledger.model_folder("mine").mkdir(parents=True)
    (ledger.model_folder("mine") / "config.json").write_text("{}")
    assert [s.state for s in _run(units, ledger, executor=recording)] == ["before", "done", "done", "done"]
    assert recording.asked[1:] == [first.title, second.title, other.title]


def test_a_recipe_is_built_measured_evaluated_and_its_files_are_not_kept(base, catalogue, tmp_path):
    ledger = Ledger(tmp_path)
    text = f"""
[[steps]]
kind = "recipe"
model = "{base}"
register_as = "tiny-llama"
recipes = ["int8_weight_only"]
device = "cpu"
build_device = "cpu"
documents = 2
conditions = {{ workloads = [{{ input_tokens = 8, output_tokens = 3 }}], repetition = {{ least = 2, most = 2 }} }}
"""
    (unit,) = units_of(campaign_of(text), catalogue)
    (standing,) = _run([unit], ledger)
    assert standing.state == "done", standing
    folder = ledger.folder(unit)
    results: dict[str, Any] = {name: read_result(folder / name) for name in ("build", "measure", "evaluate")}
    digest = results["build"].variant_id
    assert results["measure"].profile.variant_id == results["evaluate"].evaluation.variant_id == digest
    assert results["evaluate"].evaluation.items == 2
    assert not (folder / "build" / "variant").exists()
    assert not list(folder.rglob("*.safetensors"))


def test_a_file_for_another_runtime_is_not_timed_and_that_is_no_failure(base, catalogue, tmp_path):
    """Timing a GGUF file here would time transformers: the unit is done, and says what does not apply and why."""
    ledger = Ledger(tmp_path)
    text = f"""
[[steps]]
kind = "recipe"
model = "{base}"
register_as = "tiny-llama"
recipes = [{{ recipe = "gguf", type = "q8_0" }}]
device = "cpu"
build_device = "cpu"
documents = 2
"""
    (unit,) = units_of(campaign_of(text), catalogue)
    (standing,) = _run([unit], ledger)
    assert (standing.state, standing.failures) == ("done", ())
    record = ledger.record(unit)
    assert record is not None
    assert record.failures == ()
    assert [(left.part, left.reason) for left in record.not_applicable] == [("measure", "other_runtime")]
    assert "measure not applicable: " in (standing.why or "")
    assert "--endpoint URL" in (standing.why or "")
    folder = ledger.folder(unit)
    assert not (folder / "measure").exists()
    assert isinstance(read_result(folder / "evaluate"), EvaluateResult)
    assert ledger.is_done(unit)
    (again,) = standings([unit], ledger)
    assert again.state == "before"


TRAIN = """
[[steps]]
kind = "train"
name = "mine"
size = "small"
steps = 2
batch = 2
device = "cpu"
roots = ["{roots}"]
"""


def test_a_model_is_trained_into_the_campaigns_folder(catalogue, tmp_path, monkeypatch):
    from worker.campaign.tasks import train_task
    from worker.reference import sizes

    tiny = ModelShape(
        vocabulary=2048, hidden=64, intermediate=128, layers=1, heads=2, kv_heads=1, context=128
    )
    monkeypatch.setitem(sizes.SHAPES, "small", tiny)
    sources = tmp_path / "sources"
    sources.mkdir()
    for number in range(150):
        body = "".join(
            f"def add_{number}_{i}(left, right):\n    return left + right\n\n\n" for i in range(20)
        )
        (sources / f"module{number}.py").write_text(body)
    (unit,) = units_of(campaign_of(TRAIN.format(roots=sources)), catalogue)
    assert isinstance(unit.work, TrainWork)
    ledger = Ledger(tmp_path / "out")
    shares = []
    facts = train_task(
        unit.work, ledger.model_folder("mine"), report=lambda share, text: shares.append((share, text))
    )
    assert ledger.has_files(unit)
    assert facts.run.steps == 2
    assert facts.run.tokens_seen == 2 * 2 * 128
    assert facts.frozen_perplexity > 1
    assert [share for share, _ in shares] == sorted(share for share, _ in shares)
    assert shares[-1][0] == 1.0


def test_a_training_that_cannot_be_fails_with_its_reason_and_leaves_no_model(catalogue, tmp_path):
    ledger = Ledger(tmp_path / "out")
    (unit,) = units_of(campaign_of(TRAIN.format(roots=tmp_path)), catalogue)
    (standing,) = _run([unit], ledger)
    assert standing.failures[0].reason is FailureReason.INVALID_JOB
    assert "0 training and 0 held-out files" in standing.failures[0].message
    assert not ledger.has_files(unit)
    assert not ledger.model_folder("mine").exists()


KILLED = """
import sys
from pathlib import Path
from tests.worker.campaign import conftest, double
from worker.campaign.execute import Executor
from worker.campaign.ledger import Ledger
from worker.campaign.run import run_campaign
from worker.campaign.units import units_of
catalogue = conftest.with_tiny()
ledger = Ledger(Path(sys.argv[1]))
units = units_of(conftest.campaign_of(conftest.STEPS), catalogue)
for unit, load in zip(units, (double.tiny_engine, double.hanging_engine)):
    run_campaign([unit], ledger, Executor(ledger=ledger, load=load, method="forkserver"), budget_seconds=600,
                 report=lambda *_: None, finished=lambda _: None)
"""


def test_a_killed_run_loses_only_the_running_unit(catalogue, tmp_path):
    mark, out = tmp_path / "mark", tmp_path / "out"
    environment = {
        **os.environ,
        "CAMPAIGN_TEST_MARK": str(mark),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(out)], cwd=ROOT, env=environment)
    try:
        deadline = time.monotonic() + 60
        while not mark.exists():
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline, "it took too long"
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    child = int(mark.read_text())
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists(), "the child outlived its parent"
    ledger = Ledger(out)
    units = units_of(campaign_of(STEPS), catalogue)
    assert [standing.state for standing in standings(units, ledger)] == ["before", "left"]
    found = _run(units, ledger)
    assert [standing.state for standing in found] == ["before", "done"]
    assert len(list(out.rglob(RESULT_FILE))) == 2
