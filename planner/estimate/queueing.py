"""Queueing: how many replicas a request rate needs, and how long requests then wait.

The slots of all replicas are the servers of an M/M/c queue: arrivals are independent, service times exponential. Waiting
follows Erlang's C formula (A. K. Erlang 1917; L. Kleinrock, Queueing Systems I, 1975, section 3.4). Both assumptions are
coarse, so the results are modelled and the headroom is what protects: near a utilization of 1 a small error of capacity
moves the wait by orders of magnitude.
"""

from __future__ import annotations

import math
from typing import Final

HEADROOM: Final = 0.8
"""Utilization that is not exceeded; a choice of ours, at which an M/M/1 queue waits four service times."""


def replicas_needed(rate: float, service_seconds: float, slots: int, *, headroom: float = HEADROOM) -> int:
    """Return the least number of replicas of `slots` that keeps utilization within `headroom`."""
    return max(1, math.ceil(rate * service_seconds / (slots * headroom)))


def erlang_c(load: float, servers: int) -> float:
    """Return the probability that an arrival finds all servers busy; `load` = rate x service time, in Erlang.

    Computed from Erlang's B recursion, which neither overflows nor cancels. 1 when the load reaches the servers.
    """
    if load >= servers:
        return 1.0
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    utilization = load / servers
    return blocked / (1 - utilization * (1 - blocked))


def mean_wait(rate: float, service_seconds: float, servers: int) -> float:
    """Return the mean seconds in the queue, infinite when arrivals outrun the servers."""
    load = rate * service_seconds
    if load >= servers:
        return math.inf
    return erlang_c(load, servers) * service_seconds / (servers - load)
