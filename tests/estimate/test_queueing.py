"""Erlang's formula against its textbook sum and known values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.estimate.queueing import HEADROOM, erlang_c, mean_wait, replicas_needed


def by_sum(load: float, servers: int) -> float:
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(load**k / math.factorial(k) for k in range(servers)) + last)


@given(servers=st.integers(1, 40), share=st.floats(0.01, 0.99))
def test_erlang_c_is_the_textbook_sum(servers: int, share: float) -> None:
    assert erlang_c(share * servers, servers) == pytest.approx(by_sum(share * servers, servers), rel=1e-9)


def test_one_server_waits_as_a_simple_queue_does() -> None:
    assert erlang_c(0.5, 1) == pytest.approx(0.5)
    assert mean_wait(0.5, 1.0, 1) == pytest.approx(1.0)  # utilization / (service rate - arrival rate)


def test_a_queue_without_headroom_grows_without_end() -> None:
    assert mean_wait(2.0, 1.0, 2) == math.inf
    assert erlang_c(2.0, 2) == 1.0


@given(rate=st.floats(0.001, 1e4), seconds=st.floats(0.01, 100), slots=st.integers(1, 256))
def test_replicas_are_the_least_that_keep_the_headroom(rate: float, seconds: float, slots: int) -> None:
    count = replicas_needed(rate, seconds, slots)
    assert rate * seconds <= count * slots * HEADROOM * (1 + 1e-12)
    assert count == 1 or rate * seconds > (count - 1) * slots * HEADROOM * (1 - 1e-12)
