"""Batches on the command line: one question per line, asked in as many requests as the server's bound needs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from planner.domain.outcome import Recommended
from planner.domain.scenario import Scenario
from planner.errors import InvalidInput, PlannerError
from planner.wire.problem import Problem, error_of, problem_of
from planner.wire.replies import BatchAnswer
from planner.wire.requests import MAX_BATCH, Question
from planner.wire.service import Service

INFEASIBLE: Final = 3
USAGE: Final = 2
STANDARD_INPUT: Final = Path("-")


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a batch with its answer, as `--json` prints it."""

    line: int
    question: str | Scenario
    answer: BatchAnswer


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Return numbered lines that hold a question; empty ones and those that begin with # hold none. Raises InvalidInput."""
    try:
        text = sys.stdin.read() if path == STANDARD_INPUT else path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput("--batch", f"{path} is not UTF-8", allowed="one question per line") from error
    except OSError as error:
        raise InvalidInput(
            "--batch", f"{path} cannot be read: {error.strerror}", allowed="a file, or - for standard input"
        ) from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    kept = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not kept:
        raise InvalidInput("--batch", f"{path} holds no question", allowed="one question per line")
    return kept


def question_of(line: str) -> str | Scenario:
    """Return the question in a line: words, a JSON string, {"query": …} or a scenario as JSON. Raises InvalidInput."""
    if line[0] not in '{"':
        return line
    try:
        if line[0] == '"':
            return msgspec.json.decode(line, type=str)
        if "query" in msgspec.json.decode(line, type=dict[str, msgspec.Raw]):
            return msgspec.json.decode(line, type=Question).query
        return msgspec.json.decode(line, type=Scenario)
    except msgspec.ValidationError as error:
        raise InvalidInput("question", str(error), allowed="a question or a scenario") from error
    except msgspec.DecodeError as error:
        raise InvalidInput("question", f"is not JSON: {error}", allowed="a question or a scenario") from error


def ask(service: Service, path: Path) -> Iterator[Line]:
    """Yield every line with its answer, in order, as the requests are answered."""
    lines = read_lines(path)
    for start in range(0, len(lines), MAX_BATCH):
        numbered = lines[start : start + MAX_BATCH]
        answers: dict[int, BatchAnswer] = {}
        questions: dict[int, str | Scenario] = {}
        for number, line in numbered:
            try:
                questions[number] = question_of(line)
            except PlannerError as error:
                answers[number] = BatchAnswer(problem=problem_of(error))
        if questions:
            answers.update(zip(questions, service.recommend_batch(tuple(questions.values())), strict=True))
        for number, line in numbered:
            yield Line(line=number, question=questions.get(number, line), answer=answers[number])


def status_of(lines: list[Line]) -> int:
    """Return 2 when a question was not understood, else 3 when one is infeasible, else 0; another failure is its own."""
    problems = [line.answer.problem for line in lines if line.answer.problem is not None]
    if problems:
        return max((_exit_code(problem) for problem in problems), key=lambda code: (code == 1, code))
    plans = [line.answer.plan for line in lines if line.answer.plan is not None]
    return 0 if all(isinstance(plan.result, Recommended) for plan in plans) else INFEASIBLE


def _exit_code(problem: Problem) -> int:
    return error_of(problem).exit_code


def render(console: Console, lines: list[Line]) -> None:
    """Print one row per line of the batch."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("line", "outcome", "variant", "question or reason", "plan"):
        table.add_column(heading, overflow="fold")
    for line in lines:
        plan, problem = line.answer.plan, line.answer.problem
        asked = line.question if isinstance(line.question, str) else "(scenario)"
        if problem is not None:
            table.add_row(str(line.line), Text("refused", style="red"), "", f"{asked}: {problem.detail}", "")
        elif plan is not None and isinstance(plan.result, Recommended):
            table.add_row(
                str(line.line), Text("recommended", style="green"), plan.result.chosen.name, asked, plan.id
            )
        elif plan is not None:
            table.add_row(str(line.line), Text("infeasible", style="yellow"), "", asked, plan.id)
    console.print(table)
