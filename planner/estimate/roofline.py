"""Roofline: how long prefill and a decode step take when each is bound by compute or by memory traffic.

time = max(operations / (peak x efficiency), bytes / (bandwidth x efficiency)) + launch and communication overhead.
Prefill multiplies every parameter but embedding and head with every prompt token (2 operations each) and attends
causally: 2 x T^2 x query width per layer. Every chunk of a prompt reads the weights once. A decode step reads the weights
once, of a mixture only the experts that the batch hits, and the KV cache of every sequence. Weight-only formats compute at
the 16-bit rate. Sources: `priors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np

from planner.domain.device import Device, DeviceKind, Peak
from planner.domain.scheme import NumberFormat
from planner.domain.workload import Workload
from planner.estimate.columns import FORMATS, Columns, Floats, Integers, kv_elements
from planner.estimate.priors import (
    ALL_REDUCE_LATENCY,
    DEFAULT_LINK,
    HANDOVER,
    RUNTIMES,
    STAND_IN_BANDWIDTH,
    STAND_IN_INTENSITY,
    STAND_IN_OPERATIONS,
    STEP_OVERHEAD,
)

_DECODE: Final = np.array([prior.decode_efficiency.value for prior in RUNTIMES])
_PREFILL: Final = np.array([prior.prefill_efficiency.value for prior in RUNTIMES])
_LAYER_GPU: Final = np.array([prior.layer_overhead_gpu.value for prior in RUNTIMES])
_IN_TURN: Final = np.array([prior.splits_layers for prior in RUNTIMES])
_DISPATCH: Final = np.array([prior.prefill_dispatch_gpu for prior in RUNTIMES])
_ACCUMULATES: Final = np.array([prior.accumulates_in_fp16 for prior in RUNTIMES])
_HALF: Final = FORMATS.index(NumberFormat.BF16)
_OVERLAPS: Final = np.array([prior.overlaps_chunks for prior in RUNTIMES])
_CHUNK: Final = np.array([float(min(prior.chunk_tokens, 2**40)) for prior in RUNTIMES])
_LAYER_CPU: Final = np.array([prior.layer_overhead_cpu.value for prior in RUNTIMES])


@dataclass(frozen=True, slots=True)
class Load:
    """Workload points, one per row or one for all: tokens in, tokens out, and requests at the same time."""

    input_tokens: Floats
    output_tokens: Floats
    concurrency: Floats

    @classmethod
    def of(cls, workload: Workload) -> Load:
        """Return `workload` as arrays without dimensions, which broadcast over any number of rows."""
        return cls(
            np.asarray(workload.input_tokens, dtype=np.float64),
            np.asarray(workload.output_tokens, dtype=np.float64),
            np.asarray(workload.concurrency, dtype=np.float64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Modelled seconds; NaN where the device's bandwidth or throughput is unknown."""

    ttft: Floats
    tpot: Floats
    end_to_end: Floats
    per_token: Floats
    """Seconds per generated token over all concurrent requests: 1 / throughput."""


@lru_cache(maxsize=256)
def _rates(peak: Peak) -> Floats:
    """Return operations per second by code of FORMATS; formats without a rate of their own compute in 16 bits."""
    sixteen = peak.of(NumberFormat.BF16) or peak.fp32
    rates = [peak.of(number_format) or sixteen for number_format in FORMATS]
    found = np.array([np.nan if rate is None else rate for rate in rates], dtype=np.float64)
    found.setflags(write=False)
    return found


def _peaks(device: Device) -> Floats:
    return _rates(device.peak)


def yardstick(device: Device) -> Device:
    """Return the device, with stand-ins for a bandwidth or matrix rate that is unknown.

    Only ratios of times on it are used, to carry a time measured on that device from one workload to another.
    """
    known = _peaks(device)
    if device.bandwidth_bytes_per_second and not np.isnan(known).any():
        return device
    bandwidth = device.bandwidth_bytes_per_second or STAND_IN_BANDWIDTH
    rate = STAND_IN_OPERATIONS if device.kind is DeviceKind.CPU else STAND_IN_INTENSITY * bandwidth
    peak = device.peak if not np.isnan(known).any() else Peak(fp32=rate, bf16=rate)
    return msgspec.structs.replace(device, bandwidth_bytes_per_second=bandwidth, peak=peak)


def weight_bytes_read(columns: Columns, concurrency: Floats) -> Floats:
    """Return the weight bytes a decode step of `concurrency` sequences reads on all devices together.

    Of n experts of which k serve a token, a batch of B hits n x (1 - (1 - k/n)^B) on average.
    """
    missed = (1 - columns.experts_active / columns.experts) ** concurrency
    return columns.weight_bytes - columns.input_table_bytes - columns.routed_bytes * missed


def modelled_times(columns: Columns, degree: Integers, device: Device, load: Load) -> Times:
    """Return modelled seconds on `degree` devices of the type. The prompts of all concurrent requests arrive at once."""
    bandwidth = np.float64(device.bandwidth_bytes_per_second or np.nan)
    in_turn = _IN_TURN[columns.runtime]
    abreast = np.where(in_turn, 1, degree)
    layer = (_LAYER_GPU if device.kind is DeviceKind.GPU else _LAYER_CPU)[columns.runtime]
    layer_seconds = columns.layers * layer
    step_seconds = STEP_OVERHEAD.value + layer_seconds
    link = device.interconnect_bytes_per_second or DEFAULT_LINK
    hops = np.where(abreast > 1, 2 * columns.layers, 0.0)
    share = 2 * (degree - 1) / degree * columns.hidden * 2 / link

    tokens = load.input_tokens * load.concurrency
    attention = 2 * load.input_tokens * columns.query_width * columns.layers
    operations = tokens * (2 * columns.flop_parameters + attention)
    rate = _peaks(device)[columns.compute]
    if device.peak.fp16_accumulate:
        is_half = columns.compute == _HALF
        rate = np.where(_ACCUMULATES[columns.runtime] & is_half, device.peak.fp16_accumulate, rate)
    one_peak = rate * _PREFILL[columns.runtime]
    # Devices that work in turn overlap only once the prompt comes in several chunks, after the pipeline has filled.
    chunks = np.ceil(tokens / _CHUNK[columns.runtime])
    side_by_side = np.where(_OVERLAPS[columns.runtime], degree * chunks / (chunks + degree - 1), 1.0)
    prefill_peak = one_peak * np.where(in_turn, side_by_side, degree)
    reach = bandwidth * _DECODE[columns.runtime]
    each = np.minimum(tokens, _CHUNK[columns.runtime])
    prefill_reads = weight_bytes_read(columns, each) * chunks / abreast / reach
    ttft = (
        np.maximum(operations / prefill_peak, prefill_reads)
        + step_seconds
        + hops * (ALL_REDUCE_LATENCY.value + tokens * share)
    )

    if device.kind is DeviceKind.GPU:
        ttft = np.maximum(ttft, columns.layers * _DISPATCH[columns.runtime])

    context = load.input_tokens + load.output_tokens / 2
    shards = np.where(columns.latent, 1, np.minimum(abreast, columns.kv_heads))
    # A state is read and written anew with every token.
    states = 2 * columns.state_bytes / abreast
    cache = (kv_elements(columns, context) * columns.kv_bits / 8 / shards + states) * load.concurrency
    reads = (weight_bytes_read(columns, load.concurrency) / abreast + cache) / reach
    step_operations = load.concurrency * (
        2 * columns.flop_parameters + 4 * context * columns.query_width * columns.layers
    )
    # fmax keeps the memory bound where the device's matrix throughput is unknown; NaN stays where bandwidth is.
    bound = np.where(np.isnan(reads), np.nan, np.fmax(reads, step_operations / (one_peak * abreast)))
    tpot = bound + step_seconds + hops * (ALL_REDUCE_LATENCY.value + load.concurrency * share)
    tpot = tpot + np.where(in_turn, (degree - 1) * HANDOVER.value, 0.0)
    end_to_end = ttft + (load.output_tokens - 1) * tpot
    for seconds in (ttft, tpot, end_to_end):
        seconds.setflags(write=False)  # kept and read again for every quantile
    return Times(
        ttft=ttft,
        tpot=tpot,
        end_to_end=end_to_end,
        per_token=end_to_end / (load.concurrency * load.output_tokens),
    )
