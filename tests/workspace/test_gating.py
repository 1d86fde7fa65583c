"""Gates in a workspace: effects by compare-and-swap, quarantine, floors, history, jobs queued once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from planner.domain.figure import Basis
from planner.domain.job import Failure, FailureReason, JobState
from planner.domain.lifecycle import LifecycleState
from planner.errors import InvalidInput, NotFound
from planner.gate.policy_text import parse_policy
from planner.gate.report import CheckState, GateVerdict, JobStanding
from planner.registry import aliases
from planner.settings import load_settings
from planner.wire.gating import GateAllRequest, GateRequest
from planner.wire.imports import ImportOptions, ResultFile
from planner.wire.lifecycle import SetState
from planner.workspace import Workspace
from planner.workspace.gating import Gating
from tests.gate.builds import evaluated, register
from tests.workspace.folders import write_llama
from tests.workspace.test_importing import lm_eval

RULES = "version: 1\nname: chat\ntasks: [{task: maths, margin: 2%}]\n"
PROMOTE = RULES + "on_pass: {move_alias: prod}\non_fail: quarantine\n"


@pytest.fixture
def base(workspace: Workspace, tmp_path: Path):
    return register(workspace, tmp_path, "base", seed=1)


@pytest.fixture
def build(workspace: Workspace, tmp_path: Path, base):
    return register(workspace, tmp_path, "build", seed=2, base=base.id)


def ask(variant, rules: str = PROMOTE, **changes) -> GateRequest:
    return GateRequest(variant=variant.id, policy=parse_policy(rules), **changes)


def test_a_pass_makes_and_moves_the_alias(workspace, base, build, tmp_path):
    evaluated(workspace, build, base, lost=40, gained=40, items=5000)
    report = workspace.gate(ask(build, actor="ci"))
    assert (report.verdict, report.exit_code) == (GateVerdict.PASS, 0)
    assert report.reference_id == base.id
    alias = workspace.alias("prod")
    assert (alias.alias.variant_id, alias.alias.actor) == (build.id, "ci")
    better = register(workspace, tmp_path, "better", seed=3, base=base.id)
    evaluated(workspace, better, base, lost=30, gained=40, items=5000)
    assert workspace.gate(ask(better)).effects[0].done
    assert [move.variant_id for move in workspace.alias("prod").moves] == [better.id, build.id]
    again = workspace.gate(ask(better))
    assert "already" in again.effects[0].detail
    assert len(workspace.alias("prod").moves) == 2


def test_an_alias_that_moved_meanwhile_stays(workspace, base, build, monkeypatch):
    """Somebody moves the alias between the gate's beginning and its end: the gate does not overwrite that."""
    evaluated(workspace, build, base, lost=40, gained=40, items=5000)
    workspace.move_alias("prod", build.id)
    before = aliases.get

    def stale(tx, name):
        found = before(tx, name)
        return msgspec.structs.replace(found, variant_id=base.id)

    monkeypatch.setattr("planner.workspace.gating.aliases.get", stale)
    other = workspace.gate(ask(build))
    monkeypatch.undo()
    (effect,) = other.effects
    assert not effect.done
    assert "was not moved" in effect.detail
    assert (other.verdict, other.exit_code) == (GateVerdict.PASS, 1)
    assert workspace.alias("prod").alias.variant_id == build.id


def test_a_fail_quarantines_where_the_policy_says_so(workspace, base, build):
    evaluated(workspace, build, base, lost=600, gained=10, items=5000)
    warned = workspace.gate(ask(build, RULES))
    assert (warned.verdict, warned.exit_code, warned.effects) == (GateVerdict.FAIL, 3, ())
    assert workspace.state(build.id).current.state is LifecycleState.ACTIVE
    report = workspace.gate(ask(build, actor="ci"))
    assert report.exit_code == 3
    state = workspace.state(build.id).current
    assert (state.state, state.actor) == (LifecycleState.QUARANTINED, "ci")
    assert "failed the gate chat" in state.reason
    assert "already" in workspace.gate(ask(build)).effects[0].detail


def test_what_is_withdrawn_is_not_promoted(workspace, base, build):
    evaluated(workspace, build, base, lost=40, gained=40, items=5000)
    workspace.set_state(build.id, SetState(state=LifecycleState.YANKED, reason="wrong tokenizer"))
    report = workspace.gate(ask(build))
    assert (report.verdict, report.exit_code) == (GateVerdict.PASS, 1)
    assert "yanked" in report.effects[0].detail
    with pytest.raises(NotFound):
        workspace.alias("prod")


def test_a_dry_run_changes_nothing(workspace, base, build):
    evaluated(workspace, build, base, lost=40, gained=40, items=5000)
    report = workspace.gate(ask(build, dry_run=True, queue=True))
    assert (report.verdict, report.effects) == (GateVerdict.PASS, ())
    assert workspace.gates().items == ()
    with pytest.raises(NotFound):
        workspace.alias("prod")


def test_against_an_alias_items_are_paired_with_what_it_points_at(workspace, base, build, tmp_path):
    """Both lose 5 % against their base on other items: against each other the new one is worse on one in twenty."""
    old = register(workspace, tmp_path, "old", seed=4, base=base.id)
    evaluated(workspace, old, base, lost=190, gained=0, items=5000)
    evaluated(workspace, build, base, lost=195, gained=0, items=5000)
    workspace.move_alias("prod", old.id)
    against_base = workspace.gate(ask(build, RULES))
    assert against_base.verdict is GateVerdict.FAIL
    report = workspace.gate(ask(build, RULES, against="alias:prod", explain=True))
    assert report.reference_id == old.id
    assert report.against == "alias:prod"
    assert set(report.checks[0].evidence) == {"build-maths-195-0-5000", "old-maths-190-0-5000"}
    worse = report.flips[0].worse - report.flips[0].better
    assert worse == 5
    with pytest.raises(NotFound, match="no alias"):
        workspace.gate(ask(build, RULES, against="alias:nowhere"))
    with pytest.raises(InvalidInput, match="alias:NAME"):
        workspace.gate(ask(build, RULES, against="prod"))


def test_history_outlives_the_verdicts(workspace, base, build):
    evaluated(workspace, build, base, lost=12, gained=10, items=500)
    first = workspace.gate(ask(build, RULES))
    evaluated(workspace, build, base, lost=40, gained=40, items=5000)
    second = workspace.gate(ask(build, RULES))
    assert [each.id for each in workspace.gates(variant="build").items] == [second.id, first.id]
    assert workspace.gate_report(first.id).verdict is GateVerdict.INCONCLUSIVE
    assert [each.id for each in workspace.gates(verdict=GateVerdict.PASS).items] == [second.id]


def test_a_policy_that_says_nothing_is_refused_by_the_server_too(workspace, build):
    bare = msgspec.convert({"version": 1}, type(parse_policy(RULES)))
    with pytest.raises(InvalidInput, match=r"policy\.tasks"):
        workspace.gate(GateRequest(variant=build.id, policy=bare))


@pytest.fixture
def floored(data_dir: Path, tmp_path: Path):
    path = tmp_path / "floor.yaml"
    path.write_text("version: 1\nmin_items: 1000\ntasks: [{task: maths, margin: 1%}]\n")
    with Workspace(load_settings({"PLANNER_GATE_FLOOR": str(path)}, data_dir=data_dir)) as opened:
        yield opened


def test_a_servers_floor_holds_whatever_the_policy_says(floored, tmp_path):
    base = register(floored, tmp_path, "base", seed=1)
    build = register(floored, tmp_path, "build", seed=2, base=base.id)
    evaluated(floored, build, base, lost=120, gained=20, items=5000)  # 2.7 %
    lax = RULES.replace("2%", "50%")
    report = floored.gate(ask(build, lax))
    assert report.verdict is GateVerdict.FAIL
    assert {raised.field: raised.floor for raised in report.raised} == {
        "tasks.maths.margin": "1%",
        "min_items": "1000",
    }
    check = floored.check_policy(parse_policy(lax))
    assert check.has_floor
    assert check.policy.tasks[0].margin == "1%"
    rows = floored.gate_all(GateAllRequest(policy=parse_policy(lax), model="gated-llama")).items
    assert {row.name: row.verdict for row in rows}["build"] is GateVerdict.FAIL


@pytest.mark.parametrize(
    "text", ["tasks: []\n", "version: 1\non_pass: {move_alias: prod}\n", "version: 1\nx: 1\n"]
)
def test_a_wrong_floor_stops_the_server_at_once(data_dir, tmp_path, text):
    path = tmp_path / "floor.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"floor\.yaml"):
        Workspace(load_settings({"PLANNER_GATE_FLOOR": str(path)}, data_dir=data_dir))
    with pytest.raises(InvalidInput, match="PLANNER_GATE_FLOOR"):
        Workspace(load_settings({"PLANNER_GATE_FLOOR": str(tmp_path / "none.yaml")}, data_dir=data_dir))


QUEUED = RULES.replace("margin: 2%", "margin: 2%, source: 'blob:" + "a" * 64 + "'")


def test_missing_work_is_queued_once(workspace, base, build):
    evaluated(workspace, build, base, lost=12, gained=10, items=500)
    first = workspace.gate(ask(build, QUEUED, queue=True))
    (job,) = first.jobs
    assert job.state is JobStanding.QUEUED
    stored = workspace.job(job.job_id)
    assert stored.spec["limit"] > 500
    assert stored.spec["baseline"]["variant"] == base.id
    again = workspace.gate(ask(build, QUEUED, queue=True))
    assert (again.jobs[0].state, again.jobs[0].job_id) == (JobStanding.ALREADY, job.job_id)
    assert len(workspace.jobs().items) == 1
    only_asked = workspace.gate(ask(build, QUEUED))
    assert only_asked.jobs[0].state is JobStanding.WANTED


def finish(workspace: Workspace, *, fails: bool = False) -> str:
    lease = workspace.lease(worker="w")
    assert lease is not None
    if fails:
        failure = Failure(reason=FailureReason.INVALID_JOB, message="no such task")
        workspace.fail(lease.job.id, token=lease.token, failure=failure)
    else:
        workspace.complete(lease.job.id, token=lease.token, result={})
    return str(lease.job.id)


def test_work_that_gave_nothing_is_not_queued_for_ever_and_what_failed_is_tried_again(workspace, base, build):
    evaluated(workspace, build, base, lost=12, gained=10, items=500)
    workspace.gate(ask(build, QUEUED, queue=True))
    failed = finish(workspace, fails=True)
    second = workspace.gate(ask(build, QUEUED, queue=True)).jobs[0]
    assert second.state is JobStanding.QUEUED
    assert second.job_id != failed
    finish(workspace)
    third = workspace.gate(ask(build, QUEUED, queue=True)).jobs[0]
    assert (third.state, third.job_id) == (JobStanding.ENDED, second.job_id)
    evaluated(workspace, build, base, lost=14, gained=10, items=600)
    assert workspace.gate(ask(build, QUEUED, queue=True)).jobs[0].state is JobStanding.QUEUED
    assert sum(job.state is JobState.QUEUED for job in workspace.jobs().items) == 1


def test_what_grows_stale_again_is_queued_again(workspace, base, build):
    """The same job is wanted a second time when what the first one found has grown old as well."""
    evaluated(workspace, build, base, lost=40, gained=40, items=5000)
    rules = QUEUED + "evidence: {max_age: 1h}\n"
    first = workspace.gate(ask(build, rules, queue=True))
    assert first.checks[0].state is CheckState.STALE
    finish(workspace)
    assert workspace.gate(ask(build, rules, queue=True)).jobs[0].state is JobStanding.ENDED
    evaluated(workspace, build, base, lost=41, gained=40, items=5000)
    again = workspace.gate(ask(build, rules, queue=True)).jobs[0]
    assert again.state is JobStanding.QUEUED
    assert again.job_id != first.jobs[0].job_id


def test_two_gates_at_the_same_moment_queue_one_job(workspace, base, build):
    from concurrent.futures import ThreadPoolExecutor

    evaluated(workspace, build, base, lost=12, gained=10, items=500)
    with ThreadPoolExecutor(6) as pool:
        reports = list(pool.map(lambda _: workspace.gate(ask(build, QUEUED, queue=True)), range(6)))
    assert len({report.jobs[0].job_id for report in reports}) == 1
    assert len(workspace.jobs().items) == 1


def test_a_measurement_is_queued_run_by_run(workspace, base, build):
    rules = (
        "version: 1\nlatency:\n  - {metric: tpot, percentile: p50, at: {input_tokens: 128, output_tokens: 32},\n"
        "     regression: 5%, device: h200-sxm, repeats: 3}\n"
    )
    report = workspace.gate(ask(build, rules, queue=True))
    assert [job.state for job in report.jobs] == [JobStanding.QUEUED] * 6
    assert len({job.job_id for job in report.jobs}) == 6
    again = workspace.gate(ask(build, rules, queue=True))
    assert {job.state for job in again.jobs} == {JobStanding.ALREADY}
    assert {job.job_id for job in again.jobs} == {job.job_id for job in report.jobs}


def test_what_would_fail_is_said_of_every_variant_page_by_page(workspace, base, build, tmp_path):
    bad = register(workspace, tmp_path, "zbad", seed=5, base=base.id)
    evaluated(workspace, build, base, lost=40, gained=40, items=5000)
    evaluated(workspace, bad, base, lost=600, gained=0, items=5000)
    wanted = GateAllRequest(policy=parse_policy(PROMOTE), model="gated-llama")
    page = workspace.gate_all(wanted, limit=2)
    rest = workspace.gate_all(wanted, limit=2, cursor=page.next_cursor)
    verdicts = {row.name: row.verdict for row in (*page.items, *rest.items)}
    assert verdicts == {"base": GateVerdict.INCONCLUSIVE, "build": GateVerdict.PASS, "zbad": GateVerdict.FAIL}
    assert {row.name: row.states for row in rest.items}["zbad"] == {"task maths (acc)": CheckState.FAIL}
    two = parse_policy(RULES.replace("}]", "}, {task: maths, margin: 90pp}]"))
    both = workspace.gate_all(GateAllRequest(policy=two, model="gated-llama", search="zbad")).items[0].states
    assert both == {
        "task maths (acc), loss at most 2 %": CheckState.FAIL,
        "task maths (acc), loss at most 90 pp": CheckState.PASS,
    }
    assert workspace.gates().items == ()
    assert workspace.state(bad.id).current.state is LifecycleState.ACTIVE


def test_shipped_evidence_of_the_reference_model_is_judged(workspace):
    """Records that this project's worker made on its reference model."""
    policy = "version: 1\ntasks: [{task: project-source, margin: 1%}]\nscreen: {kl_mean: 1}\n"
    verdicts = {
        name: workspace.gate(
            GateRequest(variant=f"reference-small-{name}", policy=parse_policy(policy), dry_run=True)
        ).verdict
        for name in ("int8-weight-only", "mixed-loss-1", "int4-weight-only-g32", "int3-weight-only-g32")
    }
    assert verdicts == {
        "int8-weight-only": GateVerdict.PASS,
        "mixed-loss-1": GateVerdict.PASS,
        "int4-weight-only-g32": GateVerdict.FAIL,
        "int3-weight-only-g32": GateVerdict.FAIL,
    }


def test_imported_samples_of_lm_eval_are_judged_item_by_item(workspace, base, build):
    """Results and samples as lm-eval writes them: 12 items, of which the build lost 3 of 10."""
    workspace.import_results(
        [ResultFile(name=name, content=content) for name, content in lm_eval(2, set(range(7)))]
        + [
            ResultFile(name=name, content=content, of_baseline=True)
            for name, content in lm_eval(1, set(range(10)))
        ],
        ImportOptions(variant=build.id, baseline=base.id),
    )
    rules = "version: 1\ntasks: [{task: tiny_choice, metric: acc, margin: 1%}]\n"
    report = workspace.gate(ask(build, rules, explain=True))
    (check,) = report.checks
    assert (check.state, check.size) == (CheckState.INCONCLUSIVE, 12)
    assert check.figure is not None
    assert check.figure.basis is Basis.IMPORTED
    assert check.figure.value == pytest.approx(0.3)
    assert (check.more or 0) > 12
    assert (report.flips[0].worse, report.flips[0].better) == (3, 0)
    measured_only = workspace.gate(ask(build, rules + "evidence: {bases: [measured]}\n"))
    assert measured_only.checks[0].state is CheckState.MISSING


def test_the_workspace_is_a_gate(workspace):
    assert isinstance(workspace, Gating)


def test_against_an_alias_of_the_base_its_own_evaluation_is_the_pairing(workspace, base, build):
    """The first gate of a model: production is still the base, which nobody evaluates against itself."""
    workspace.move_alias("prod", base.id)
    empty = workspace.gate(ask(build, RULES, against="alias:prod"))
    assert empty.verdict is GateVerdict.INCONCLUSIVE
    assert len(empty.jobs) == 1
    made = evaluated(workspace, build, base, lost=40, gained=40, items=5000)
    report = workspace.gate(ask(build, PROMOTE, against="alias:prod"))
    assert (report.verdict, report.reference_id) == (GateVerdict.PASS, base.id)
    assert report.checks[0].evidence == (made.id,)
    assert workspace.alias("prod").alias.variant_id == build.id


def test_a_loss_counted_from_another_model_is_none_against_the_base(workspace, base, build, tmp_path):
    """Held against something that is as bad, a bad build loses nothing."""
    made = workspace.register(
        write_llama(tmp_path / "small", hidden=32), model="other-llama", name="small"
    ).variant
    evaluated(workspace, build, made, lost=0, gained=40, items=5000)
    (check,) = workspace.gate(ask(build)).checks
    assert check.state is CheckState.MISSING
    assert "counted from small, which is no base" in check.reason
    assert workspace.gate(ask(build, RULES, against=f"variant:{made.id}")).verdict is GateVerdict.PASS
