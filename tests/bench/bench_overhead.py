"""Harness overhead: time per token as we measure it, against a bare loop over the same model and steps.

Run with `python -m pytest tests/bench/bench_overhead.py -m bench -s`. Both run in one process, in turn, and the ratio is
of pairs, so that what else the machine does falls on both. The bare loop reads the clock twice: before the second token and
after the last one.
"""

from __future__ import annotations

import statistics
import time

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.worker]
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

PAIRS = 30
TOKENS = 64
PROMPT = 64


def _bare_loop(model, prompt) -> float:
    """Seconds per output token after the first, with nothing measured in between."""
    from transformers import DynamicCache

    with torch.inference_mode():
        cache = DynamicCache(config=model.config)
        output = model(input_ids=prompt, past_key_values=cache, use_cache=True, logits_to_keep=1)
        token = output.logits[:, -1, :].argmax(dim=-1, keepdim=True)
        start = time.perf_counter()
        for _ in range(TOKENS - 1):
            output = model(input_ids=token, past_key_values=cache, use_cache=True)
            token = output.logits[:, -1, :].argmax(dim=-1, keepdim=True)
        if token.device.type == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / (TOKENS - 1)


def test_overhead(capsys: pytest.CaptureFixture[str]):
    from planner.domain.workload import Workload
    from worker.engines.loading import resolve_device
    from worker.engines.transformers import TransformersEngine
    from worker.measure.contention import Watch
    from worker.measure.latency import Repetition, prompts_for, time_point
    from worker.reference import model_path

    device = resolve_device("auto")
    if device.type == "cpu":
        torch.set_num_threads(1)
    engine = TransformersEngine.load(model_path(), device=device)
    workload = Workload(input_tokens=PROMPT, output_tokens=TOKENS)
    prompt = torch.from_numpy(prompts_for(workload, engine.vocabulary)).to(device)
    once = Repetition(warmup=0, least=1, most=1)
    bare: list[float] = []
    ours: list[float] = []
    between: list[float] = []
    with Watch(device, threads=1) as watch:

        def measure() -> None:
            start = time.perf_counter()
            timings = time_point(engine, workload, once, judge=watch.judge)
            wall = time.perf_counter() - start
            assert timings.tpot_seconds is not None
            assert timings.end_to_end_seconds is not None
            ours.append(timings.tpot_seconds.mean)
            between.append(wall / timings.end_to_end_seconds.mean)

        turns = [lambda: bare.append(_bare_loop(engine.model, prompt)), measure]
        for _ in range(PAIRS + 3):
            for turn in turns:
                turn()
            turns.reverse()
    pairs = [mine / other for mine, other in zip(ours[3:], bare[3:], strict=True)]
    quartiles = statistics.quantiles(pairs, n=4)
    with capsys.disabled():
        print(
            f"\n{device}, {PAIRS} pairs of {TOKENS} tokens: bare {1e3 * statistics.median(bare[3:]):.3f} ms a token, measured "
            f"{1e3 * statistics.median(ours[3:]):.3f} ms; ratio of pairs: median {statistics.median(pairs):.4f}, "
            f"quartiles {quartiles[0]:.4f} … {quartiles[2]:.4f} (aim: at most 1.02)"
        )
        print(
            f"whole run with drawing prompts, judging and summing up over its timed part: median "
            f"{statistics.median(between[3:]):.4f}"
        )
    assert len(pairs) == PAIRS
