"""Products of a 13B layer by library, and decode attention by setting, against the copy bandwidth of the same run (CUDA).

    pytest -m bench -s tests/bench/bench_kernels.py

A product of one row can take no less than reading the weight once; the last column is the share of that limit reached.
Weights rotate over several copies, so that no cache holds them; calls are replayed as one CUDA graph, as decode steps are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.bench,
    pytest.mark.worker,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]

SHAPES = {"q, k, v": (15360, 5120), "output": (5120, 5120), "gate, up": (27648, 5120), "down": (5120, 13824)}
ROWS = (1, 16, 1024)
COPIES = 3
SETTINGS: tuple[dict[str, int] | None, ...] = (
    None,
    {"BLOCK_N": 32},
    {"BLOCK_N": 128},
    {"BLOCK_N": 64, "num_stages": 4},
    {"SPLIT_KV": 3},
    {"SPLIT_KV": 9},
    {"SPLIT_KV": 12},
    {"num_warps": 2},
    {"num_warps": 8},
)


def seconds(calls: list[Callable[[], Any]], repeats: int = 20) -> float:
    """Seconds of one call, by the device's clock."""
    for call in calls:
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    graph.replay()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(repeats):
        graph.replay()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end)) / 1e3 / repeats / len(calls)


def weights(kind: str, rows: int, columns: int) -> Any:
    """A random weight in plain terms."""
    from worker.engines.plain import Plain

    scales = torch.rand(rows, columns // 128 if kind == "int4" else 1, device="cuda", dtype=torch.bfloat16)
    if kind == "fp8":
        values = torch.randn(rows, columns, device="cuda").to(torch.float8_e4m3fn)
        return Plain(values=values, scales=scales, bits=8)
    bits = 4 if kind == "int4" else 8
    values = torch.randint(0, 2**bits, (rows, columns), device="cuda", dtype=torch.uint8)
    return Plain(values=values, scales=scales, bits=bits)


def _product(weight: Any, inputs: Any) -> Any:
    return torch.nn.functional.linear(inputs, weight)


def products(kind: str, rows: int, columns: int) -> list[Callable[[Any], Any]]:
    from worker.engines.kernels import compile_kernels, humming_linear

    if kind == "bf16":
        plain = [torch.randn(rows, columns, device="cuda", dtype=torch.bfloat16) for _ in range(COPIES)]
        return [partial(_product, weight) for weight in plain]
    layers = [humming_linear(weights(kind, rows, columns), None, torch.bfloat16) for _ in range(COPIES)]
    compile_kernels(layers, ROWS)
    return list(layers)


def test_products() -> None:
    with torch.inference_mode():
        print_products()


def print_products() -> None:
    from worker.engines.kernels import missing
    from worker.measure.environment import copy_bandwidth

    device = torch.device("cuda", torch.cuda.current_device())
    if (why := missing(device)) is not None:
        pytest.skip(why)
    bandwidth = copy_bandwidth(device)
    assert bandwidth
    print(f"\n{torch.cuda.get_device_name()}, copy bandwidth {bandwidth / 1e12:.2f} TB/s")
    print(f"{'layer':10} {'weights':8} " + " ".join(f"{f'{rows} rows':>16}" for rows in ROWS) + "  of copy")
    for name, (rows, columns) in SHAPES.items():
        base: dict[int, float] = {}
        for kind, width in (("bf16", 2.0), ("int8", 1.0), ("fp8", 1.0), ("int4", 0.516)):
            calls = products(kind, rows, columns)
            cells, first = [], 0.0
            for count in ROWS:
                inputs = torch.randn(count, columns, device="cuda", dtype=torch.bfloat16)
                took = seconds([partial(call, inputs) for call in calls])
                base.setdefault(count, took)
                first = first or took
                cells.append(f"{took * 1e6:7.1f} µs {base[count] / took:4.2f} x")
            share = rows * columns * width / first / bandwidth
            print(f"{name:10} {kind:8} " + " ".join(f"{cell:>16}" for cell in cells) + f"  {share:6.1%}")


def test_decode_attention() -> None:
    with torch.inference_mode():
        print_decode_attention()


def print_decode_attention() -> None:
    from torch.nn.attention.flex_attention import flex_attention

    from worker.engines.static_attention import FilledPart

    filled = FilledPart(1056, 1, torch.device("cuda", torch.cuda.current_device()))
    filled.start(1040)
    filled.refresh()
    query = torch.randn(1, 40, 1, 128, device="cuda", dtype=torch.bfloat16)
    caches = [torch.randn(1, 40, 1056, 128, device="cuda", dtype=torch.bfloat16) for _ in range(8)]
    base = None
    print()
    for setting in SETTINGS:
        torch._dynamo.reset()

        def attend(query: Any, keys: Any, setting: Any = setting) -> Any:
            return flex_attention(query, keys, keys, block_mask=filled.mask, kernel_options=setting)

        compiled = torch.compile(attend)
        took = seconds([partial(compiled, query, keys) for keys in caches])
        base = base or took
        print(f"{setting or 'as it comes'!s:36} {took * 1e6:6.2f} µs  {base / took:4.2f} x")
