from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.profile import MemoryUse
from worker.engines.transformers import TransformersEngine
from worker.measure.memory_terms import (
    DeviceCount,
    cache_bytes,
    device_terms,
    graph_pools,
    processor_terms,
    watch_cache,
)

pytestmark = pytest.mark.worker
GIB = 2**30
COUNT = DeviceCount(
    allocated_peak=20 * GIB,
    reserved_peak=23 * GIB,
    reserved_after=23 * GIB,
    graph_pools=2 * GIB,
    graph_allocated=GIB // 2,
    used_after=25 * GIB,
    idle=GIB // 2,
    process_after=24 * GIB,
)


def test_the_terms_of_a_gpu_add_up_to_what_the_driver_says():
    use = device_terms(COUNT, weights=13 * GIB, kv_cache=4 * GIB)
    assert use.activation_bytes == 20 * GIB - 17 * GIB - GIB // 2
    assert use.graph_bytes == 2 * GIB
    assert use.fragmentation_bytes == 3 * GIB - 3 * GIB // 2
    assert use.context_bytes == GIB
    assert use.peak_process_bytes == 24 * GIB
    assert use.peak_device_bytes == 24 * GIB + GIB // 2
    assert _sum(use) == 24 * GIB


def test_a_process_the_driver_does_not_show_is_told_from_the_device_above_idle():
    use = device_terms(_with(process_after=None), weights=13 * GIB, kv_cache=4 * GIB)
    assert use.peak_process_bytes is None
    assert use.context_bytes == 25 * GIB - GIB // 2 - 23 * GIB


def test_what_nobody_counted_stays_unknown():
    use = device_terms(_with(process_after=None, idle=None), weights=13 * GIB, kv_cache=None)
    assert use.context_bytes is None
    assert use.peak_device_bytes is None
    assert use.activation_bytes is None
    assert use.kv_cache_bytes is None
    assert use.fragmentation_bytes is not None


@given(
    st.integers(0, GIB), st.integers(0, GIB), st.integers(0, GIB), st.integers(0, GIB), st.integers(0, GIB),
    st.integers(1, GIB), st.integers(1, GIB),
)  # fmt: skip
def test_known_terms_always_add_up(activations, fragments, pools, live, context, weights, cache):
    live = min(live, pools)
    allocated = weights + cache + activations + live
    reserved = allocated + (pools - live) + fragments
    count = DeviceCount(
        allocated_peak=allocated, reserved_peak=reserved, reserved_after=reserved, graph_pools=pools,
        graph_allocated=live, used_after=None, idle=None, process_after=reserved + context,
    )  # fmt: skip
    use = device_terms(count, weights=weights, kv_cache=cache)
    assert (use.activation_bytes, use.fragmentation_bytes, use.context_bytes) == (
        activations,
        fragments,
        context,
    )
    assert _sum(use) == reserved + context


def test_graph_pools_are_the_private_segments_of_one_device():
    segments = [
        {"device": 0, "segment_pool_id": (0, 0), "total_size": 100, "allocated_size": 90},
        {"device": 0, "segment_pool_id": (0, 1), "total_size": 50, "allocated_size": 10},
        {"device": 0, "segment_pool_id": (3, 0), "total_size": 7, "allocated_size": 0},
        {"device": 1, "segment_pool_id": (0, 1), "total_size": 9, "allocated_size": 9},
    ]
    assert graph_pools(segments, 0) == (57, 10)


def test_a_kv_cache_is_counted_to_the_byte(base):
    engine = TransformersEngine.load(base, device=torch.device("cpu"))
    with watch_cache(engine) as seen:
        engine.generate(np.ones((3, 20), dtype=np.int64), 5)
    # 2 layers x keys and values x 3 requests x 2 heads x 24 positions (the last token is never fed back) x 16 x BF16
    assert cache_bytes(seen.cache) == 2 * 2 * 3 * 2 * 24 * 16 * 2
    assert not seen.held_before
    assert not engine.model._forward_pre_hooks


def test_an_engine_that_names_its_cache_is_believed():
    class Naming:
        def __init__(self) -> None:
            self.cache = [torch.zeros(8)]

    engine: Any = Naming()
    with watch_cache(engine) as seen:
        pass
    assert cache_bytes(seen.cache) == 32
    assert seen.held_before


def test_shared_storage_counts_once_and_nothing_is_unknown():
    whole = torch.zeros(10, dtype=torch.float32)
    assert cache_bytes([whole[:5], whole[5:], {"more": (whole,)}]) == 40
    assert cache_bytes(None) is None
    assert cache_bytes([]) is None


def test_on_the_cpu_a_difference_that_says_nothing_is_unknown():
    use = processor_terms(peak_rss=100, peak_of_run=30, weights=60, kv_cache=20, kv_cache_held_before=False)
    assert (use.activation_bytes, use.context_bytes, use.graph_bytes) == (10, None, None)
    use = processor_terms(peak_rss=100, peak_of_run=30, weights=60, kv_cache=20, kv_cache_held_before=True)
    assert use.activation_bytes == 30
    use = processor_terms(peak_rss=100, peak_of_run=5, weights=60, kv_cache=20, kv_cache_held_before=False)
    assert use.activation_bytes is None
    use = processor_terms(peak_rss=100, peak_of_run=5, weights=60, kv_cache=None, kv_cache_held_before=False)
    assert use.activation_bytes is None


def _with(**changes: int | None) -> DeviceCount:
    import msgspec

    return msgspec.structs.replace(COUNT, **changes)


def _sum(use: MemoryUse) -> int:
    terms = (
        use.weights_bytes, use.kv_cache_bytes, use.activation_bytes, use.graph_bytes, use.fragmentation_bytes,
        use.context_bytes,
    )  # fmt: skip
    return sum(term or 0 for term in terms)
