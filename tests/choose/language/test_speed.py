"""How long reading a question takes. Prints, and never fails on the time."""

from __future__ import annotations

import time

import pytest

from planner.choose.language.parse import parse
from planner.choose.language.vocabulary import Vocabulary

QUESTIONS = (
    "13B on 24GB, ≤1% loss",
    "24GB显存跑13B,精度损失不超过1%",
    "llama 2 7b on a 4090, at least 30 tok/s per user for 16 users, 4k context, apache license, gguf in llama.cpp, ≤1% loss on mmlu",
)


@pytest.mark.bench
@pytest.mark.parametrize("question", QUESTIONS)
def test_parse_time(vocabulary: Vocabulary, question: str):
    parse(question, vocabulary)
    times: list[float] = []
    for _ in range(200):
        started = time.perf_counter()
        parse(question, vocabulary)
        times.append(time.perf_counter() - started)
    times.sort()
    print(f"parse p50 {times[100] * 1e6:.0f} µs, p99 {times[197] * 1e6:.0f} µs: {question}")
    assert len(times) == 200
