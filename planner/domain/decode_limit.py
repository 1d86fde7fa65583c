"""How near decoding comes to the limit of memory: one step reads the weights and the KV cache once, and can be no faster.

The limit is the copy bandwidth that was measured in the same run (bytes read and written, per second), not the one on a
data sheet. Source of the rule: the roofline model, Williams, Waterman & Patterson, CACM 52(4), 2009.
"""

from __future__ import annotations

from typing import Final

from planner.domain.profile import Profile, ProfilePoint

NEAR: Final = 0.8
"""Share of the copy bandwidth from which on a step counts as near its limit."""
BANDWIDTH: Final = "copy_bandwidth_bytes_per_second"
MATRIX_SHARE: Final = "decode_matrix_share"
"""Fact of a profile: share of the device's time in a decode step that matrix products take."""


def bandwidth_share(profile: Profile, point: ProfilePoint) -> float | None:
    """Return (weights + KV cache, bytes) / (TPOT, s) over the copy bandwidth; None where one of them was not measured.

    KV caches of fixed size count whole, also what is not filled yet.
    """
    bandwidth = profile.environment.facts.get(BANDWIDTH)
    memory, tpot = point.memory, point.tpot_seconds
    if (
        not isinstance(bandwidth, int | float)
        or bandwidth <= 0
        or memory.weights_bytes is None
        or tpot is None
        or tpot.p50 is None
        or tpot.p50 <= 0
    ):
        return None
    return (memory.weights_bytes + (memory.kv_cache_bytes or 0)) / tpot.p50 / (bandwidth * profile.devices)


def describe(profile: Profile) -> str | None:
    """Return in words how near one request comes to the limit and, where it does not, what keeps it; None when unknown."""
    shares = [
        (share, point)
        for point in profile.points
        if point.workload.concurrency == 1 and (share := bandwidth_share(profile, point)) is not None
    ]
    if not shares:
        return None
    share, point = max(shares, key=lambda found: found[0])
    text = (
        f"one request at {point.workload.input_tokens} tokens reads weights and KV cache at {share:.0%} of the copy "
        f"bandwidth of its run"
    )
    return text if share >= NEAR else f"{text}: {_why(profile)}"


def _why(profile: Profile) -> str:
    matrix = profile.environment.facts.get(MATRIX_SHARE)
    kernel = profile.kernel or "a kernel that the profiler did not name"
    if not isinstance(matrix, int | float):
        return f"its products run by {kernel}"
    if matrix >= 0.5:
        return f"products take {matrix:.0%} of the device's time, most of it in {kernel}"
    return f"products take only {matrix:.0%} of the device's time; the rest is attention, normalisation and waiting"
