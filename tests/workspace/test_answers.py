from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from planner.domain.evaluation import Evaluation
from planner.domain.figure import Basis, Figure
from planner.domain.outcome import Infeasible, Recommended
from planner.domain.scenario import Scenario
from planner.domain.units import Unit
from planner.errors import InvalidInput, InvalidQuery, NotFound
from planner.settings import Settings
from planner.workspace import Workspace
from tests.workspace.folders import write_llama

QUERY = "13B on 24GB, <=1% loss"


def test_a_plan_is_stored_as_it_was_answered(workspace: Workspace) -> None:
    plan = workspace.recommend(query=QUERY)
    assert isinstance(plan.result, Recommended)
    assert plan.revision == workspace.registry.revision()
    assert workspace.plan(plan.id) == plan
    row = workspace.plans().items[0]
    assert (row.id, row.query, row.outcome, row.variant_id) == (
        plan.id,
        QUERY,
        "recommended",
        plan.result.chosen.variant_id,
    )


def test_a_scenario_gives_the_same_answer_as_its_words(workspace: Workspace) -> None:
    plan = workspace.recommend(query=QUERY)
    assert workspace.recommend(scenario=plan.scenario).result == plan.result


def test_an_infeasible_plan_is_stored_too(workspace: Workspace) -> None:
    plan = workspace.recommend(query="70B on 8GB")
    assert isinstance(plan.result, Infeasible)
    row = workspace.plans().items[0]
    assert (row.outcome, row.variant_id, row.name) == ("infeasible", None, None)


def test_replays_are_identical_after_the_registry_changed(workspace: Workspace, tmp_path: Path) -> None:
    plan = workspace.recommend(query="the smallest model on 24GB")
    assert isinstance(plan.result, Recommended)
    variant = workspace.register(write_llama(tmp_path / "tiny"), model="tiny").variant
    assert variant is not None
    loss = Figure(value=0.0, unit=Unit.RATIO, basis=Basis.MEASURED)
    workspace.submit_evaluation(
        Evaluation(
            id="e", variant_id=plan.result.chosen.variant_id, task="t", metric="accuracy", higher_is_better=True,
            basis=Basis.MEASURED, baseline_score=0.5, variant_score=0.5, relative_loss=loss,
        )
    )  # fmt: skip
    later = workspace.recommend(query="the smallest model on 24GB")
    assert later.revision > plan.revision
    assert later.result != plan.result
    replay = workspace.replay(plan.id)
    assert replay.identical
    assert replay.stored_digest == replay.replayed_digest
    assert workspace.replay(later.id).identical


def test_replays_after_reopening(settings: Settings) -> None:
    with Workspace(settings) as first:
        plan = first.recommend(query=QUERY)
    with Workspace(settings) as second:
        assert second.replay(plan.id).identical


def test_why(workspace: Workspace) -> None:
    plan = workspace.recommend(query=QUERY)
    assert isinstance(plan.result, Recommended)
    chosen = plan.result.chosen
    why = workspace.why(chosen.variant_id, plan_id=plan.id)
    assert (why.chosen, why.candidate, why.elimination) == (True, chosen, None)
    beaten = plan.result.alternatives[0].variant_id
    why = workspace.why(beaten, query=QUERY)
    assert not why.chosen
    assert why.elimination is not None
    assert why.elimination.key == "objective"
    assert why.candidate is not None
    assert why.candidate.checks
    with pytest.raises(NotFound):
        workspace.why("nothing", plan_id=plan.id)
    with pytest.raises(InvalidInput, match="exactly one"):
        workspace.why(beaten)


def test_why_of_a_variant_newer_than_the_plan(workspace: Workspace, tmp_path: Path) -> None:
    plan = workspace.recommend(query=QUERY)
    done = workspace.register(write_llama(tmp_path / "tiny"), model="tiny")
    with pytest.raises(NotFound):
        workspace.why(done.digest, plan_id=plan.id)


def test_exactly_one_question(workspace: Workspace) -> None:
    for arguments in ({}, {"query": QUERY, "scenario": Scenario()}):
        with pytest.raises(InvalidInput, match="exactly one"):
            workspace.recommend(**arguments)  # type: ignore[arg-type]
    with pytest.raises(InvalidQuery):
        workspace.recommend(query="13B on 24GB blorp")
    assert workspace.plans().items == ()


def test_what_was_registered_is_considered_at_once(workspace: Workspace, tmp_path: Path) -> None:
    before = workspace.snapshots.current()
    done = workspace.register(write_llama(tmp_path / "tiny"), model="tiny")
    after = workspace.snapshots.current()
    assert done.digest in after.variants
    assert done.digest not in before.variants
    assert workspace.snapshots.current() is after
    plan = workspace.recommend(query="tiny on 24GB")
    assert isinstance(plan.result, Recommended)
    assert plan.result.chosen.variant_id == done.digest


def test_another_process_is_noticed(settings: Settings, tmp_path: Path) -> None:
    with Workspace(settings) as one, Workspace(settings) as other:
        one.snapshots.current()
        done = other.register(write_llama(tmp_path / "tiny"), model="tiny")
        assert done.digest in one.snapshots.current().variants


def test_one_thread_rebuilds_while_the_others_wait(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.snapshots.current()
    workspace.register(write_llama(tmp_path / "tiny"), model="tiny")
    loads: list[int | None] = []
    load = workspace.snapshots._load
    barrier = threading.Barrier(8)

    def counted(revision: int | None) -> object:
        loads.append(revision)
        return load(revision)

    monkeypatch.setattr(workspace.snapshots, "_load", counted)

    def ask(_: int) -> int:
        barrier.wait()
        return workspace.snapshots.current().revision

    with ThreadPoolExecutor(8) as pool:
        revisions = set(pool.map(ask, range(8)))
    assert len(revisions) == 1
    assert loads == [None]


def test_few_past_indexes_are_kept(workspace: Workspace, tmp_path: Path) -> None:
    plans = []
    for seed in range(7):
        plans.append(workspace.recommend(query="7B on 24GB"))
        workspace.register(write_llama(tmp_path / str(seed), seed=seed), model="tiny")
    assert all(workspace.replay(plan.id).identical for plan in plans)
    assert len(workspace.snapshots._past) <= 4
