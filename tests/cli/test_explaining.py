"""why, why-not, compare, sweep, and the jobs that recommend queues, as people use them."""

import json

from planner.cli.verbs.recommend import NOTHING_QUEUED
from tests.cli.conftest import make_llama

QUESTION = "13B on 24GB, ≤2% loss"


def chosen(run):
    return json.loads(run("recommend", QUESTION, "--json")[1])


def test_why_shows_what_was_asked_what_held_and_the_evidence(run):
    plan = chosen(run)
    name = plan["result"]["chosen"]["name"]
    code, out, _ = run("why", name, plan["id"])
    assert code == 0
    assert "It is the answer" in out
    assert "usable" in out
    assert "evaluation" in out
    by_plan = json.loads(run("why", name, "--plan", plan["id"], "--json")[1])
    assert by_plan["chosen"] is True
    assert {finding["key"] for finding in by_plan["findings"]} >= {"model", "memory", "loss"}


def test_why_not_says_by_how_much_or_who_is_before_it(run):
    code, out, _ = run("why-not", "llama-2-13b-fp16", QUESTION)
    assert code == 0
    assert "violated memory" in out
    assert "past it" in out
    assert "It would pass with" in out
    plan = chosen(run)
    second = plan["result"]["alternatives"][0]["name"]
    code, out, _ = run("why-not", second, QUESTION)
    assert code == 0
    assert plan["result"]["chosen"]["name"] in out
    assert "is ranked before it by" in out
    assert "is the answer" in run("why-not", plan["result"]["chosen"]["name"], QUESTION)[1]


def test_compare_variants_and_plans(run):
    plan = chosen(run)
    names = [plan["result"]["chosen"]["name"], "llama-2-13b-fp16"]
    code, out, _ = run("compare", *names, "-q", QUESTION)
    assert code == 0
    assert "falls at memory" in out
    assert "worse" in out
    other = json.loads(run("recommend", "70B on 8GB", "--json")[1])
    code, out, _ = run("compare", "--plans", plan["id"], other["id"])
    assert code == 0
    assert "infeasible" in out
    assert run("compare", names[0])[0] == 2
    assert run("compare", *names, "--plans", "--plan", plan["id"])[0] == 2


def test_sweep_prints_the_curve_and_its_changes(run):
    code, out, _ = run("sweep", QUESTION, "--over", "memory=4GiB..64GiB/8")
    assert code == 0
    assert "The choice changes at" in out
    assert "bytes" in out
    assert "█" in out
    curve = json.loads(run("sweep", QUESTION, "--over", "memory=4GiB..64GiB/8", "--json")[1])
    assert len(curve["points"]) == 8
    code, _, err = run("sweep", QUESTION, "--over", "colour=1..2")
    assert code == 2
    assert "colour" in err
    assert run("sweep", "--over", "memory=4GiB..64GiB")[0] == 2


def test_recommend_names_what_is_worth_measuring_and_queues_nothing_that_cannot_be_done(run):
    code, out, _ = run("recommend", QUESTION, "--queue-measurement")
    assert code == NOTHING_QUEUED
    assert "Measuring this could change the answer" in out
    assert "nothing was queued" in out


def test_recommend_queues_a_build_for_a_registered_model(run, tmp_path):
    made = json.loads(
        run("register", str(make_llama(tmp_path / "base", seed=11)), "--model", "asked", "--json")[1]
    )
    scenario = {
        "model": {"kind": "model", "value": made["variant"]["model_id"]},
        "hardware": {"memory_bytes": 8 * 1024**3},
        "workload": {"input_tokens": 64, "output_tokens": 16, "concurrency": 1},
        "constraints": [{"type": "scheme", "words": ["int8"]}],
    }
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(scenario))
    code, out, _ = run("recommend", "--scenario", str(path), "--queue-build=2", "--json")
    answer = json.loads(out)
    assert code == 3
    assert [job["kind"] for job in answer["queued"]["jobs"]] == ["build", "build"]
    code, out, _ = run("recommend", "--scenario", str(path), "--queue-build")
    assert code == 3
    assert "Building this could satisfy the question" in out
    assert "queued build job" in out
