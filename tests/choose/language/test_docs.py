"""The documentation of the language: every example means something in the built-in catalogue, and the grammar is the real one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from planner.catalogue import load_catalogue
from planner.choose.language.echo import echo
from planner.choose.language.parse import parse
from planner.choose.language.syntax import grammar_text
from planner.choose.language.vocabulary import Vocabulary
from planner.errors import InvalidQuery

DOCUMENT = Path(__file__).parents[3] / "docs" / "query-language.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
_BEFORE_GRAMMAR = TEXT.partition("## Grammar")[0]


def _rows(header: str) -> list[list[str]]:
    """Return the cells of the rows of every table that starts with `header`."""
    rows: list[list[str]] = []
    for table in re.findall(rf"^\| {header} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", _BEFORE_GRAMMAR, re.MULTILINE):
        rows += [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return rows


def _examples() -> list[str]:
    """Return the queries of the fenced blocks, of the first two columns of the tables, and of the prose."""
    found = [
        line
        for block in re.findall(r"```query\n(.*?)```", _BEFORE_GRAMMAR, re.DOTALL)
        for line in block.splitlines()
    ]
    for row in _rows("English"):
        found += re.findall(r"`([^`]+)`", f"{row[0]} {row[1]}")
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def catalogue_vocabulary() -> Vocabulary:
    catalogue = load_catalogue()
    tasks = sorted({evaluation.task for evaluation in catalogue.evaluations})
    return Vocabulary.build(catalogue.models, catalogue.devices, catalogue.presets, tasks)


def test_the_document_has_many_examples():
    assert len(_examples()) > 150
    assert len(_rows("question")) > 10


@pytest.mark.parametrize("example", _examples())
def test_every_example_is_understood(catalogue_vocabulary: Vocabulary, example: str):
    scenario = parse(example, catalogue_vocabulary)
    assert (
        parse(echo(scenario, catalogue_vocabulary), catalogue_vocabulary).constraints == scenario.constraints
    )


@pytest.mark.parametrize("row", _rows("question"), ids=lambda row: row[0])
def test_every_error_points_where_the_document_says(catalogue_vocabulary: Vocabulary, row: list[str]):
    question, word, because = (cell.strip("`") for cell in row)
    with pytest.raises(InvalidQuery) as caught:
        parse(question, catalogue_vocabulary)
    details = caught.value.details
    assert question[details["position"] :][: details["length"]] == word
    for suggested in re.findall(r"suggests \"([^\"]+)\"", because):
        assert details["suggestion"] == suggested


def test_the_grammar_is_printed_verbatim():
    (printed,) = re.findall(r"```lark\n(.*?)```\n", TEXT, re.DOTALL)
    assert printed == grammar_text()
