from __future__ import annotations

import pytest

from planner.errors import InvalidFile, InvalidInput
from worker.evaluate.task_file import (
    ChoiceTask,
    GenerationHeader,
    GenerationTask,
    is_right,
    last_number,
    parse_task,
    read_task,
)
from worker.reference.tasks import TASKS, freeze_tasks, task_path

pytestmark = pytest.mark.worker

CHOICE = b'{"kind": "choice", "task": "t"}\n'
GENERATION = b'{"kind": "generation", "task": "g", "match": "%s"}\n'
ITEM = b'{"context": "1 + 1 =", "choices": [" 2", " 3", " 4"], "answer": 0}\n'


def test_multiple_choice_is_read_with_its_chance():
    other = b'{"id": "x", "context": "a", "choices": ["b", "c"], "answer": 1}\n'
    task = parse_task(CHOICE + ITEM + b"\n" + other, file="f")
    assert isinstance(task, ChoiceTask)
    assert [name for name, _ in task.items] == ["2", "x"]
    assert task.chance == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert task.digest.startswith("sha256:")
    first = parse_task(CHOICE + ITEM + other, file="f", limit=1)
    assert (first.name, len(first.items)) == ("t[:1]", 1)


def test_generation_is_read_with_its_defaults():
    task = parse_task(GENERATION % b"exact" + b'{"prompt": "p", "answers": ["a"]}', file="f")
    assert isinstance(task, GenerationTask)
    assert task.header == GenerationHeader(task="g")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (CHOICE, "holds no items"),
        (b'{"task": "t"}\n' + ITEM, "line 1.*kind"),
        (b'{"kind": "essay", "task": "t"}\n', "line 1.*essay"),
        (b'{"kind": "choice", "task": " "}\n' + ITEM, "line 1: task"),
        (b'{"kind": "choice", "task": "t", "match": "exact"}\n' + ITEM, "line 1.*match"),
        (CHOICE + b"{}", "line 2.*context"),
        (CHOICE + ITEM + b"{", "line 3"),
        (CHOICE + b"\xff", "line 2"),
        (CHOICE + ITEM.replace(b'"answer": 0', b'"answer": 3'), "line 2.*not the index"),
        (CHOICE + ITEM.replace(b'"answer": 0', b'"answer": -1'), "line 2.*not the index"),
        (CHOICE + ITEM.replace(b'"answer": 0', b'"answer": 0, "why": 1'), "line 2.*why"),
        (CHOICE + ITEM.replace(b"1 + 1 =", b""), "line 2.*no context"),
        (CHOICE + ITEM.replace(b" 4", b""), "line 2.*empty one"),
        (CHOICE + ITEM.replace(b" 4", b" 3"), "line 2.*twice"),
        (CHOICE + ITEM.replace(b'{"', b'{"id": 7, "', 1) * 2, "line 3: id.*twice"),
        (
            b'{"kind": "generation", "task": "g", "max_tokens": 0}\n{"prompt": "p", "answers": ["a"]}',
            "line 1: max_tokens",
        ),
        (
            b'{"kind": "generation", "task": "g", "stop": [""]}\n{"prompt": "p", "answers": ["a"]}',
            "line 1: stop",
        ),
        (GENERATION % b"exact" + b'{"prompt": "p", "answers": []}', "line 2.*no answers"),
        (GENERATION % b"regex" + b'{"prompt": "p", "answers": ["("]}', "line 2.*no pattern"),
        (GENERATION % b"regex" + b'{"prompt": "p", "answers": ["%s"]}' % (b"a" * 1001), "line 2.*1001"),
        (GENERATION % b"numeric" + b'{"prompt": "p", "answers": ["two"]}', "line 2.*no number"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(content, problem):
    with pytest.raises(InvalidFile, match=f"(?s){problem}"):
        parse_task(content, file="f")


def test_a_file_that_is_not_there_and_a_limit_of_none_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="task"):
        read_task(tmp_path / "none.jsonl")
    with pytest.raises(InvalidInput, match="limit"):
        parse_task(CHOICE + ITEM, file="f", limit=0)


@pytest.mark.parametrize(
    ("match", "written", "answers", "right"),
    [
        ("exact", " Paris\n", ("Paris",), True),
        ("exact", "Paris, France", ("Paris",), False),
        ("contains", "It is Paris.", ("London", "Paris"), True),
        ("contains", "It is paris.", ("Paris",), False),
        ("numeric", "so 3 apples are 1,234.50 dollars", ("1234.5",), True),
        ("numeric", "1234.6", ("#### 1234.5",), False),
        ("numeric", "none", ("1",), False),
        ("numeric", "-2e3", ("-2000",), True),
        ("regex", "abc-42", (r"^[a-z]+-\d+$",), True),
        ("regex", "abc", (r"\d",), False),
    ],
)
def test_matching_rules(match, written, answers, right):
    assert is_right(GenerationHeader(task="g", match=match), written, answers) is right


def test_case_may_be_ignored():
    header = GenerationHeader(task="g", match="contains", ignore_case=True)
    assert is_right(header, "IT IS PARIS", ("Paris",))


def test_numbers_too_large_are_none():
    assert last_number("1" * 400) is None


def test_the_tasks_that_ship_are_what_the_command_makes(tmp_path):
    made = freeze_tasks(tmp_path)
    for name in TASKS:
        path = task_path(name)
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
        task = read_task(path)
        assert len(task.items) == made[name][0] > 300
        assert task.digest == "sha256:" + made[name][1]
    choice = read_task(task_path("next-line"))
    assert isinstance(choice, ChoiceTask)
    answers = [item.answer for _, item in choice.items]
    assert all(0.15 < answers.count(index) / len(answers) < 0.35 for index in range(4)), (
        "the place gives it away"
    )
    assert choice.chance == 0.25


def test_a_task_that_does_not_ship_is_refused():
    with pytest.raises(InvalidInput, match="next-line"):
        task_path("../evaluation")
