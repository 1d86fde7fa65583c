from __future__ import annotations

import numpy as np
import pytest
import torch

from planner.errors import InvalidInput
from worker.engines.transformers import TransformersEngine

pytestmark = pytest.mark.worker
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def engine(base):
    return TransformersEngine.load(base, device=CPU)


def test_every_token_is_timed_and_greedy(engine):
    prompts = np.random.default_rng(0).integers(0, 4096, size=(3, 20))
    run = engine.generate(prompts, 7)
    assert len(run.seconds) == 7
    assert all(a < b for a, b in zip(run.seconds, run.seconds[1:], strict=False))
    assert run.tpot == pytest.approx((run.seconds[-1] - run.seconds[0]) / 6)
    assert sum(run.gaps) == pytest.approx(run.end_to_end - run.ttft)
    expected = engine.model.generate(
        torch.from_numpy(prompts),
        attention_mask=torch.ones(3, 20, dtype=torch.int64),
        max_new_tokens=7,
        min_new_tokens=7,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=None,
    )[:, 20:]
    assert np.array_equal(run.tokens, expected.numpy())


def test_one_token_has_no_gaps(engine):
    run = engine.generate(np.ones((1, 4), dtype=np.int64), 1)
    assert run.tpot is None
    assert run.gaps == ()


def test_the_runtime_says_engine_version_and_mode(engine):
    import transformers

    assert str(engine.runtime) == f"transformers {transformers.__version__} eager"
    assert engine.vocabulary == 4096
    assert engine.max_context == 256


def test_more_than_the_context_is_refused(engine):
    with pytest.raises(InvalidInput, match="at most 256 tokens of context"):
        engine.generate(np.ones((1, 250), dtype=np.int64), 7)
