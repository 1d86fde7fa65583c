from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from worker.engines.continuous import ContinuousEngine
from worker.engines.requests import Request
from worker.engines.transformers import TransformersEngine
from worker.measure.memory_terms import cache_bytes
from worker.reference import model_path

pytestmark = pytest.mark.worker
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def engine():
    return ContinuousEngine.load(model_path(), device=CPU)


def test_requests_come_and_go_each_with_its_own_times(engine):
    rng = np.random.default_rng(0)
    requests = [
        Request(prompt=tuple(rng.integers(0, 4096, size=int(size)).tolist()), output_tokens=int(output))
        for size, output in ((20, 4), (9, 12), (31, 3), (5, 7), (12, 5))
    ]
    with engine.ready(concurrency=2, input_tokens=31, context_tokens=48):
        answers = engine.serve(requests, 2, time.perf_counter() + 60)
        # 2 sequences of at most 48 tokens: one page each and one to spare; keys and values in BF16
        config = engine.model.config
        head = config.hidden_size // config.num_attention_heads
        page = 2 * 256 * config.num_key_value_heads * head * 2 * config.num_hidden_layers
        held = cache_bytes(engine.cache)
        assert held is not None
        assert 3 * page <= held <= 5 * page
    assert engine.cache is None
    assert {answer.request for answer in answers} == set(requests)
    for answer in answers:
        assert answer.error is None
        assert answer.output_tokens == answer.request.output_tokens == len(answer.times)
        assert answer.input_tokens == len(answer.request.prompt)
        assert answer.ttft is not None
        assert answer.ttft > 0
        assert list(answer.times) == sorted(answer.times)
    # two at a time: never more than two are under way
    spans = sorted((answer.sent, answer.times[-1]) for answer in answers)
    for moment, _ in spans:
        assert sum(start <= moment < end for start, end in spans) <= 2
    assert str(engine.runtime).endswith("continuous")


def test_the_model_is_as_it_was_and_generates_the_same_afterwards(engine):
    before = engine.attention
    prompt = np.random.default_rng(3).integers(0, 4096, size=(1, 24))
    alone = TransformersEngine(engine.model).generate(prompt, 6).tokens[0].tolist()
    outcomes: list[list[int]] = []
    with engine.ready(concurrency=1, input_tokens=24, context_tokens=30):
        manager = engine._manager
        name = manager.add_request(prompt[0].tolist(), max_new_tokens=6, eos_token_id=-1)
        while not outcomes:
            result = manager.get_result(timeout=1)
            if result is not None and result.request_id == name:
                outcomes.append(result.generated_tokens)
    assert outcomes == [alone]
    assert engine.attention == before
    assert TransformersEngine(engine.model).generate(prompt, 6).tokens[0].tolist() == alone


def test_serving_without_being_ready_is_said(engine):
    with pytest.raises(RuntimeError, match="inside `ready`"):
        engine.serve([], 1, 0.0)


def test_what_ends_the_manager_comes_through(engine, monkeypatch):
    with engine.ready(concurrency=1, input_tokens=8, context_tokens=16):

        def fail(*arguments: object, **named: object) -> None:
            raise torch.OutOfMemoryError("tried to allocate 80 GiB")

        monkeypatch.setattr(engine.model, "forward", fail)
        with pytest.raises(torch.OutOfMemoryError, match="80 GiB"):
            engine.serve([Request(prompt=(1, 2, 3), output_tokens=3)], 1, time.perf_counter() + 30)
