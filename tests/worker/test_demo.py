from __future__ import annotations

import msgspec
import pytest

import worker.demo
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from worker.cli import main
from worker.demo import run_demo
from worker.jobs import BuildResult, EvaluateResult, MeasureResult
from worker.measure.latency import Repetition
from worker.submit import find_results, read_result

pytestmark = pytest.mark.worker


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.demo, "WORKLOADS", (Workload(input_tokens=16, output_tokens=4),))
    monkeypatch.setattr(worker.demo, "REPETITION", Repetition(warmup=1, budget_seconds=0.1))


@pytest.mark.usefixtures("_quick")
def test_the_reference_model_loses_what_each_scheme_costs(tmp_path):
    heard: list[float] = []
    finished = list(
        run_demo(
            tmp_path / "out",
            recipes=("bf16", "int8_weight_only", "intx_weight_only"),
            documents=6,
            report=lambda share, text: heard.append(share),
        )
    )
    kinds = [BuildResult] * 3 + [MeasureResult] * 3 + [EvaluateResult] * 3
    assert [type(item.result) for item in finished] == kinds
    assert heard == sorted(heard)
    assert heard[-1] == pytest.approx(1)
    losses = {
        item.recipe: item.result.evaluation for item in finished if isinstance(item.result, EvaluateResult)
    }
    assert 2 < losses["bf16"].baseline_score < 30  # it has learnt something: chance would be 4096
    assert losses["bf16"].relative_loss.value == 0
    assert abs(losses["int8_weight_only"].relative_loss.value) < 0.01
    assert losses["intx_weight_only"].relative_loss.value > 0.02
    assert all(read_result(item.folder) == item.result for item in finished)
    assert len(find_results(tmp_path / "out")) == 9


@pytest.mark.usefixtures("_quick")
def test_the_command_reports_lines_that_another_program_can_follow(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(worker.demo, "RECIPES", ("bf16",))
    monkeypatch.setattr(run_demo, "__kwdefaults__", {**(run_demo.__kwdefaults__ or {}), "recipes": ("bf16",)})
    assert main(["demo", "--out", str(tmp_path / "out"), "--documents", "4", "--json-progress"]) == 0
    lines = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["event"] == "done"
    results = [line for line in lines if line["event"] == "result"]
    assert [line["kind"] for line in results] == ["build", "measure", "evaluate"]
    shares = [line["share"] for line in lines if line["event"] == "progress"]
    assert shares == sorted(shares)


def test_a_folder_in_use_is_refused(tmp_path):
    (tmp_path / "something").touch()
    with pytest.raises(InvalidInput, match="is not empty"):
        next(run_demo(tmp_path))
    with pytest.raises(InvalidInput, match="lack the baseline"):
        next(run_demo(tmp_path / "new", recipes=("fp32",)))
