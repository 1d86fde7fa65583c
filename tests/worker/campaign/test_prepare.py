from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from planner.domain.job import Failure
from tests.worker.campaign.conftest import STEPS, campaign_of
from worker.campaign.execute import Executor
from worker.campaign.ledger import Ledger
from worker.campaign.prepare import prepare
from worker.campaign.run import run_campaign
from worker.campaign.units import RecipeWork, ShapeWork, Unit, units_of
from worker.progress import Report


def mark(work: ShapeWork, *, report: Report) -> None:
    """Stands for compiling, which takes minutes on a CPU."""
    report(1.0, work.recipe.variant_name)
    if work.recipe.variant_name != "bf16":
        raise RuntimeError("no compiler here")


def _recipe(base: Path) -> str:
    return f"""
[[steps]]
kind = "recipe"
model = "{base}"
recipes = ["int8_weight_only", "int4_tile_packed"]
device = "cpu"
build_device = "cpu"
documents = 2
conditions = {{ workloads = [{{ input_tokens = 8, output_tokens = 3 }}], repetition = {{ least = 2, most = 2 }} }}
"""


def test_recipes_are_built_and_evaluated_ahead_and_only_measured_in_their_turn(base, catalogue, tmp_path):
    ledger = Ledger(tmp_path)
    executor = Executor(ledger=ledger)
    good, bad = units_of(campaign_of(_recipe(base)), catalogue)
    heard: dict[str, str | None] = {}
    prepare(
        [good, bad],
        executor,
        parallel=2,
        seconds=100,
        logs=tmp_path / "prepared",
        finished=heard.__setitem__,
    )
    assert heard[good.title] is None
    assert "cuda" in (heard[bad.title] or "").lower()
    folder = ledger.folder(good)
    assert not (folder / "measure").exists()
    before = {name: (folder / name / "result.json").stat().st_mtime_ns for name in ("build", "evaluate")}
    standings = run_campaign(
        [good], ledger, executor, budget_seconds=200, report=lambda *_: None, finished=lambda _: None
    )
    assert [standing.state for standing in standings] == ["done"]
    assert before == {name: (folder / name / "result.json").stat().st_mtime_ns for name in before}
    measured: Any = msgspec.json.decode((folder / "measure" / "result.json").read_bytes())
    built: Any = msgspec.json.decode((folder / "build" / "result.json").read_bytes())
    assert measured["profile"]["variant_id"] == built["variant_id"]
    assert not list(folder.rglob("*.safetensors"))


def test_recipes_that_are_prepared_together_share_the_cores(base, catalogue, tmp_path, monkeypatch):
    seen: list[int | None] = []

    def build(
        _executor: Executor, _unit: Unit, work: RecipeWork, *, limit_seconds: float
    ) -> tuple[Failure, ...]:
        del limit_seconds
        seen.append(work.threads)
        return ()

    monkeypatch.setattr(Executor, "build_ahead", build)
    monkeypatch.setattr("os.cpu_count", lambda: 12)
    units = units_of(campaign_of(_recipe(base)), catalogue)
    prepare(
        units,
        Executor(ledger=Ledger(tmp_path)),
        parallel=4,
        seconds=9,
        logs=tmp_path / "p",
        finished=lambda *_: None,
    )
    assert seen == [3, 3]


def test_shapes_are_compiled_ahead_and_a_failure_is_told_and_not_recorded(catalogue, tmp_path):
    units: tuple[Unit, ...] = units_of(campaign_of(STEPS), catalogue)
    heard: dict[str, str | None] = {}
    ledger = Ledger(tmp_path)
    prepare(
        units,
        Executor(ledger=ledger),
        parallel=2,
        seconds=60,
        logs=tmp_path / "prepared",
        finished=heard.__setitem__,
        compile_=mark,
    )
    assert [heard[unit.title] is None for unit in units] == [True, False]
    assert "no compiler here" in (heard[units[1].title] or "")
    assert all(ledger.record(unit) is None for unit in units)
