"""Text → Scenario."""

from __future__ import annotations

from planner.choose.language.interpret import interpret
from planner.choose.language.reader import read
from planner.choose.language.text import normalise
from planner.choose.language.vocabulary import Vocabulary
from planner.domain.scenario import Scenario


def parse(text: str, vocabulary: Vocabulary) -> Scenario:
    """Return the scenario a question in English or Chinese means, with the origin of every part.

    Raises InvalidQuery, which points into `text` as it was typed, on words that are not understood, on contradictions
    and on numbers that cannot be meant. Nothing else is raised, whatever the text.
    """
    source = normalise(text)
    return interpret(source, read(source, vocabulary), vocabulary)
