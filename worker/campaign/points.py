"""The workload points of a shape: which are worth trying, in which order, and what they are expected to cost.

The estimate is the roofline's two ends: a prompt costs 2 x parameters x tokens operations, a token the bytes of weights
and KV cache over the bandwidth. It orders and prunes the work; no result depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from planner.domain.architecture import Architecture
from planner.domain.profile import NotMeasured
from planner.domain.scheme import Scheme
from planner.domain.workload import Workload
from planner.estimate.weights import modelled_weight_bytes
from worker.campaign.specification import Machine
from worker.measure.latency import Repetition

_KV_BYTES = 2
"""Engines keep the KV cache in 16 bits unless the scheme says otherwise, and then it is smaller."""


class Points(msgspec.Struct, frozen=True, kw_only=True):
    """Points to measure, cheapest first, and those that are not tried, with the reason; `seconds` is for the former."""

    workloads: tuple[Workload, ...]
    left_out: tuple[NotMeasured, ...]
    seconds: float


def choose_points(
    architecture: Architecture,
    scheme: Scheme,
    *,
    batches: Iterable[int],
    contexts: Iterable[int],
    output_tokens: int,
    repetition: Repetition,
    point_limit_seconds: float,
    machine: Machine,
) -> Points:
    """Return the points of the grid in the order of their cost, without what the model or the machine cannot hold.

    A grid point beyond the model's longest context does not exist, so it is not even named.
    """
    weights = modelled_weight_bytes(architecture, scheme).value
    chosen: list[tuple[float, Workload]] = []
    left_out: list[NotMeasured] = []
    for workload in (
        Workload(input_tokens=context, output_tokens=output_tokens, concurrency=batch)
        for context in sorted(set(contexts))
        for batch in sorted(set(batches))
    ):
        if architecture.max_context is not None and workload.context_tokens > architecture.max_context:
            continue
        cache = architecture.kv_elements(workload.context_tokens) * workload.concurrency * _KV_BYTES
        seconds = point_seconds(architecture, weights + cache, workload, repetition, machine)
        if machine.memory_bytes is not None and weights + cache > machine.memory_bytes:
            detail = f"weights and KV cache of {(weights + cache) / 1e9:.0f} GB, over {machine.memory_bytes / 1e9:.0f} GB"
            left_out.append(NotMeasured(workload=workload, reason="larger_than_memory", detail=detail))
        elif seconds > point_limit_seconds:
            detail = f"estimated at {seconds:.0f} s, over the limit of {point_limit_seconds:g} s a point"
            left_out.append(NotMeasured(workload=workload, reason="time_limit", detail=detail))
        else:
            chosen.append((seconds, workload))
    chosen.sort(key=lambda pair: pair[0])
    return Points(
        workloads=tuple(workload for _, workload in chosen),
        left_out=tuple(left_out),
        seconds=sum(seconds for seconds, _ in chosen),
    )


def point_seconds(
    architecture: Architecture,
    bytes_read: float,
    workload: Workload,
    repetition: Repetition,
    machine: Machine,
) -> float:
    """Return the seconds a point is expected to take; `bytes_read` are those of one decode step.

    Runs are the warm-up (memory is taken in the last of it), then as many repeats as the least or the budget asks for.
    """
    tokens = workload.concurrency * workload.input_tokens
    # With many tokens in, embeddings and head cost little beside the layers.
    prompt = 2 * architecture.linear_parameters * tokens / machine.flops
    run = prompt + workload.output_tokens * bytes_read / machine.bandwidth
    repeats = min(repetition.most, max(repetition.least, repetition.budget_seconds / run))
    return machine.compile_seconds + max(1, repetition.warmup) * run + repeats * run
