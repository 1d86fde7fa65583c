from __future__ import annotations

import json
import os
import shutil
import signal

import numpy as np
import pytest
import torch

from planner.domain.job import FailureReason
from planner.errors import InvalidInput
from worker.engines.loading import load_tokenizer
from worker.engines.parallel import ParallelEngine, check_degree
from worker.engines.transformers import TransformersEngine
from worker.failure import JobFailed
from worker.recipes import parse_recipe
from worker.recipes.build import build_variant
from worker.reference import model_path

pytestmark = pytest.mark.worker
CPU = torch.device("cpu")
TEXTS = (
    "def main():\n    parser = argparse.ArgumentParser(",
    "class Foo(Base):\n    def __init__(self, name, value):\n        self.",
    "import os\nimport sys\n",
)


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a machine with GPUs they are used instead")
def test_two_processes_give_the_tokens_of_one_and_hold_half_each():
    tokenizer = load_tokenizer(model_path())
    prompts = [np.array([tokenizer(text)["input_ids"]]) for text in TEXTS]
    alone = TransformersEngine.load(model_path(), device=CPU)
    wanted = [alone.generate(ids, 24).tokens for ids in prompts]
    before = dict(os.environ)
    engine = ParallelEngine.load(model_path(), 2, device=CPU, threads=1)
    try:
        for ids, tokens in zip(prompts, wanted, strict=True):
            assert np.array_equal(engine.generate(ids, 24).tokens, tokens)
        whole = sum(weight.numel() * 2 for weight in alone.model.parameters())
        norms = sum(weight.numel() * 2 for weight in alone.model.parameters() if weight.dim() == 1)
        assert engine.rank_bytes == ((whole + norms) // 2,) * 2  # norms are on both
        assert engine.facts["all_ranks_weights_bytes"] == whole + norms
        assert str(engine.runtime) == str(alone.runtime)
        (other,) = engine._ranks._processes
        assert other.pid is not None
        os.kill(other.pid, signal.SIGKILL)
        with pytest.raises(JobFailed, match="rank-1 ended with exit code -9") as caught:
            engine.generate(prompts[0], 4)
        assert caught.value.reason is FailureReason.CRASHED
    finally:
        engine.close()
    assert not torch.distributed.is_initialized()
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("changes", "degree", "message"),
    [
        ({}, 1, "1 is out of range"),
        ({}, 3, "3 does not divide num_attention_heads, which is 4"),
        ({}, 4, "4 does not divide num_key_value_heads, which is 2"),
        ({"intermediate_size": 97}, 2, "2 does not divide intermediate_size, which is 97"),
        ({"model_type": "gpt2", "n_head": 4}, 2, "not planned by transformers for `gpt2`"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="on a machine with GPUs they are used instead")
def test_what_cannot_be_cut_is_refused(base_copy, changes, degree, message):
    config = json.loads((base_copy / "config.json").read_text())
    (base_copy / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(InvalidInput, match=message):
        check_degree(base_copy, degree, CPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a machine with GPUs they are used instead")
def test_a_quantized_variant_is_refused(built, tmp_path):
    with pytest.raises(InvalidInput, match="of a quantized variant"):
        check_degree(built("int8_dynamic"), 2, CPU)
    shutil.copytree(built("bf16"), tmp_path / "plain")
    check_degree(tmp_path / "plain", 2, CPU)


def test_a_setting_of_attention_may_be_cut(tmp_path):
    build_variant(model_path(), tmp_path / "out", parse_recipe("topk_attention"))
    if not torch.cuda.is_available():
        check_degree(tmp_path / "out", 2, CPU)
