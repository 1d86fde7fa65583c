"""Policy files: what is read, what is refused, and that every refusal says where, what and what is allowed."""

from __future__ import annotations

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.domain.loss import LossKind
from planner.errors import InvalidInput
from planner.gate.policy import Policy, Problem
from planner.gate.policy_schema import schema, shipped
from planner.gate.policy_text import MAX_CHARACTERS, InvalidPolicy, line_of, parse_policy

FULL = """\
version: 1
name: chat
against: alias:prod
confidence: 0.95
min_items: 200
screen: {kl_mean: 0.05, top1_agreement: 0.9}
tasks:
  - {task: gsm8k, metric: exact_match, margin: 1%, min_items: 1000}
  - task: next-line
    margin: 0.5pp
    source: reference
latency:
  - metric: tpot
    percentile: p95
    at: {input_tokens: 512, output_tokens: 128, concurrency: 8}
    regression: 5%
    device: h200-sxm
    repeats: 5
memory:
  - {measure: weights, at_most: 24GiB}
evidence:
  max_age: 30d
  versions: {vllm: "0.33.0"}
  bases: [measured]
on_pass: {move_alias: prod}
on_fail: quarantine
"""


def test_every_field_is_read():
    policy = parse_policy(FULL)
    assert (policy.name, policy.against, policy.alpha) == ("chat", "alias:prod", 0.05)
    relative, points = policy.tasks
    assert (relative.kind, relative.limit, relative.title) == (LossKind.RELATIVE, 0.01, "gsm8k (exact_match)")
    assert (points.kind, points.limit) == (LossKind.ABSOLUTE, 0.5)
    assert policy.latency[0].at.workload.concurrency == 8
    assert policy.memory[0].limit == 24 * 1024**3
    assert policy.evidence.max_age_seconds == 30 * 86_400
    assert policy.on_pass.move_alias == "prod"


def test_it_survives_the_way_to_a_server():
    policy = parse_policy(FULL)
    assert msgspec.json.decode(msgspec.json.encode(policy), type=Policy) == policy


TASK = "version: 1\ntasks:\n  - task: a\n    margin: 1%\n"


@pytest.mark.parametrize(
    ("text", "line", "field", "allowed"),
    [
        ("", None, "policy", "version, name, against"),
        ("[1]\n", None, "policy", "a map of version"),
        ("tasks: []\n", 1, "version", "1"),
        ("version: 2\n", 1, "version", "1"),
        ("version: 1\n", 1, "tasks", "at least one task"),
        ("version: 1\ntsks: []\n", 2, "tsks", "tasks"),
        ("version: 1\ntasks:\n  - task: a\n", 3, "tasks[0].margin", '"1%"'),
        ("version: 1\ntasks:\n  - task: a\n    margin: 1\n", 4, "tasks[0].margin", '"1%"'),
        ("version: 1\ntasks:\n  - task: a\n    margin: 1 percent\n", 4, "tasks[0].margin", '"0.5pp"'),
        ("version: 1\ntasks:\n  - task: a\n    margin: 0%\n", 4, "tasks[0].margin", "above 0"),
        ("version: 1\ntasks:\n  - task: a\n    margin: 100%\n", 4, "tasks[0].margin", "below 100"),
        ("version: 1\ntasks:\n  - task: '*'\n    margin: 1%\n", 3, "tasks[0].task", "name of a task"),
        (TASK + "  - task: A\n    margin: 2%\n", 5, "tasks[1].task", "once"),
        (TASK + "against: prod\n", 5, "against", "alias:NAME"),
        (TASK + "confidence: 1\n", 5, "confidence", "above 0.5 and below 1"),
        (TASK + "on_fail: explode\n", 5, "on_fail", "quarantine, warn"),
        (TASK + "on_pass: {alias: prod}\n", 5, "on_pass.alias", "move_alias"),
        (TASK + "screen: {}\n", 5, "screen", "kl_mean"),
        (TASK + "evidence: {max_age: 30}\n", 5, "evidence.max_age", '"30d"'),
        (TASK + "evidence: {bases: []}\n", 5, "evidence.bases", "measured"),
        (TASK + "latency:\n  - {metric: ttft, percentile: p95}\n", 6, "latency[0].at", "input_tokens"),
        (TASK + "latency:\n  - {metric: tft, percentile: p95}\n", 6, "latency[0].metric", "ttft"),
        (TASK + "memory:\n  - {measure: weights}\n", 6, "memory[0]", "at_most and regression"),
        (TASK + "memory:\n  - {measure: peak_rss, at_most: 1GiB}\n", 6, "memory[0].at", "input_tokens"),
        (TASK + "memory:\n  - {measure: weights, at_most: 1024}\n", 6, "memory[0].at_most", '"24GiB"'),
        ("version: 1\ntasks:\n" + "  - {task: a, margin: 1%}\n" * 201, 2, "tasks", "a list"),
        ("version: 1\nversion: 1\n", 2, "version", "once"),
        ("version: 1\nname: &x a\nagainst: *x\n", 2, "policy", "written out"),
        ("version: 1\non: true\n", 2, "policy", "names of fields"),
        ("version: [1\n", 2, "policy", "YAML"),
    ],
)  # fmt: skip
def test_a_wrong_file_says_where_and_what_is_allowed(text, line, field, allowed):
    with pytest.raises(InvalidPolicy) as caught:
        parse_policy(text, name="gates/chat.yaml")
    first = caught.value.problems[0]
    assert first.field == field
    assert allowed in first.allowed
    assert first.line == line or line is None
    assert str(caught.value).startswith("gates/chat.yaml")
    assert (caught.value.exit_code, caught.value.status) == (2, 422)


def test_every_problem_of_a_well_formed_file_is_told():
    text = "version: 1\ntasks:\n  - {task: a, margin: 0%}\n  - {task: a, margin: 200%}\nmemory:\n  - {measure: weights}\n"
    with pytest.raises(InvalidPolicy) as caught:
        parse_policy(text)
    assert [problem.line for problem in caught.value.problems] == [3, 4, 4, 6]


@pytest.mark.parametrize(
    "text", ["x" * (MAX_CHARACTERS + 1), "[" * 4000, "{" * 4000, "\x00", "!!python/object:os.system {}\n", "a: b\n---\nc: d\n"]
)  # fmt: skip
def test_hostile_files_are_refused(text):
    with pytest.raises(InvalidInput):
        parse_policy(text)


@settings(max_examples=150, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*Policy.__struct_fields__, "task", "margin", "at", "x"]), inner, max_size=4), max_leaves=12))  # fmt: skip
def test_anything_is_read_or_refused_with_a_field(document):
    text = yaml.safe_dump(document)
    problems: tuple[Problem, ...] = ()
    try:
        assert isinstance(parse_policy(text), Policy)
    except InvalidPolicy as error:
        problems = error.problems
    assert all(problem.field and problem.allowed for problem in problems)


def test_lines_of_rules():
    assert (line_of(FULL, "tasks[1]"), line_of(FULL, "latency[0]"), line_of(FULL, "screen")) == (9, 13, 6)
    assert line_of(FULL, "tasks[7]") is None


def test_the_shipped_schema_is_the_structs():
    assert msgspec.json.decode(shipped()) == msgspec.json.decode(msgspec.json.encode(schema()))
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_schema_accepts_and_refuses_as_the_reader_does():
    validator = jsonschema.Draft202012Validator(schema())
    assert list(validator.iter_errors(yaml.safe_load(FULL))) == []
    for wrong in ("version: 2\n", TASK + "against: prod\n", TASK + "x: 1\n", TASK.replace("1%", "1 percent")):
        assert list(validator.iter_errors(yaml.safe_load(wrong)))
