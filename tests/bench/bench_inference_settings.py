"""What top-K attention and quantized KV caches cost and save: perplexity, time of decode and prefill, bytes of a token.

Run with `python -m pytest tests/bench/bench_inference_settings.py -m bench -s`. Perplexity is the reference model's on its
held-out text, against full attention over a 16-bit cache. Times are ratios of medians to full attention on one random layer
of realistic head width, over a cache filled with random states: on a GPU in BF16 by the clock on the wall, on a CPU in FP32
by the seconds of one thread, which other work on the machine does not lengthen. Ratios are printed and judged by nobody.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

from planner.domain.inference import InferenceSettings, QuantizedCache, TopKAttention
from worker.reference import load_documents, model_path

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.bench, pytest.mark.worker]

DOCUMENTS, WINDOW = 12, 1024
CONTEXTS = (1024, 4096, 16_384)
MOST_PREFILLED = 4096
SETTINGS = {
    "full": InferenceSettings(),
    **{f"top-{k}": InferenceSettings(attention=TopKAttention(k=k)) for k in (4, 8, 16, 32, 64, 128)},
    **{
        f"kv {form} g{group}": InferenceSettings(kv_cache=QuantizedCache(format=form, group_size=group))
        for form in ("int8", "fp8", "int4")
        for group in (32, 64)
    },
}
TIMED = ("full", "top-32", "top-128", "kv int8 g32", "kv int4 g32", "kv fp8 g32")


def device() -> Any:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def perplexity(settings: InferenceSettings) -> float:
    from worker.engines.cache import forward_options
    from worker.engines.formats.inference import declare_settings
    from worker.engines.loading import load_model, load_tokenizer

    model = load_model(model_path(), device=device())
    declare_settings(model, settings)
    tokenizer = load_tokenizer(model_path())
    nats, tokens = 0.0, 0
    for document in load_documents(DOCUMENTS):
        ids = torch.tensor([tokenizer(document.text).input_ids[:WINDOW]], device=device())
        with torch.inference_mode():
            logits = model(input_ids=ids, **forward_options(model, 1, ids.shape[1])).logits[0, :-1].float()
        nats += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
        tokens += ids.shape[1] - 1
    return math.exp(nats / tokens)


def test_perplexity(capsys: pytest.CaptureFixture[str]):
    found = {name: perplexity(settings) for name, settings in SETTINGS.items()}
    with capsys.disabled():
        print(f"\nperplexity of the reference model, {DOCUMENTS} documents, windows of {WINDOW} tokens")
        for name, value in found.items():
            print(f"{name:14} {value:9.4f}  {100 * (value / found['full'] - 1):+8.3f} %")


def random_model(settings: InferenceSettings) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    from worker.engines.formats.inference import declare_settings
    from worker.engines.loading import quiet_libraries

    quiet_libraries()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1024,
        hidden_size=1024,
        intermediate_size=2048,
        num_hidden_layers=1,
        num_attention_heads=16,
        num_key_value_heads=4,
        head_dim=64,
        max_position_embeddings=2 * max(CONTEXTS),
    )
    number = torch.bfloat16 if device().type == "cuda" else torch.float32
    model = LlamaForCausalLM(config).to(device=device(), dtype=number).eval()
    declare_settings(model, settings)
    return model


def timed(step: Callable[[], Any], repeats: int) -> float:
    """Return the median of seconds: on the wall for a GPU, of this thread for a CPU."""
    clock = time.perf_counter if device().type == "cuda" else time.thread_time
    seconds = []
    step()
    for _ in range(repeats):
        if device().type == "cuda":
            torch.cuda.synchronize()
        start = clock()
        step()
        if device().type == "cuda":
            torch.cuda.synchronize()
        seconds.append(clock() - start)
    return statistics.median(seconds)


def times(settings: InferenceSettings, context: int) -> tuple[float | None, float, int]:
    """Seconds of a prefill (None for a long one) and of a decode step at `context`, and the bytes of the KV cache."""
    from worker.engines.cache import make_cache
    from worker.measure.memory_terms import cache_bytes

    model = random_model(settings)
    ids = torch.randint(0, 1024, (1, context), device=device())

    def prefill() -> None:
        cache = make_cache(model, 1, context)
        model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)

    with torch.inference_mode():
        first = timed(prefill, 2) if context <= MOST_PREFILLED else None
        cache = make_cache(model, 1, context + 64)
        for layer in range(model.config.num_hidden_layers):
            states = torch.randn(2, 1, 4, context, 64, device=device(), dtype=model.dtype)
            cache.update(states[0], states[1], layer)
        held = cache_bytes(cache)
        assert held is not None
        decode = timed(lambda: model(input_ids=ids[:, :1], past_key_values=cache, use_cache=True), 15)
        return first, decode, held


def test_times(capsys: pytest.CaptureFixture[str]):
    torch.set_num_threads(1)
    lines = []
    for context in CONTEXTS:
        full = times(SETTINGS["full"], context)
        for name in TIMED:
            prefill, decode, held = full if name == "full" else times(SETTINGS[name], context)
            begun = f"{1e3 * prefill:9.1f} ms {full[0] / prefill:5.2f} x" if prefill and full[0] else " " * 20
            lines.append(
                f"{context:6} {name:12} prefill {begun}   decode {1e3 * decode:8.2f} ms {full[1] / decode:5.2f} x   "
                f"cache {held / context:7.1f} bytes per token and layer"
            )
    with capsys.disabled():
        print(f"\n{device()}: times, and how many times as fast as full attention\n" + "\n".join(lines))
