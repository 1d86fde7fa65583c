"""Every point of one measurement: tried in order, left out with a reason where memory or time does not allow it.

What a point is and how it is taken differs between engines; that one which fails for want of memory must not end the
others, and that time runs out, is the same for all.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from planner.domain.job import FailureReason
from planner.domain.profile import NotMeasured, ProfilePoint
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from worker.failure import failure_of
from worker.progress import Report, part

Reason = Literal["out_of_memory", "larger_than_memory", "time_limit", "throttled", "failed"]
MAX_SECONDS: Final = 7 * 86_400.0
_OUT_OF_MEMORY: Final = frozenset({FailureReason.OOM_DEVICE, FailureReason.OOM_HOST})
_MAX_DETAIL: Final = 500


class PointLeftOut(Exception):
    """A point that cannot be measured, with its reason; `point` has what is known all the same."""

    def __init__(self, reason: Reason, detail: str, *, point: ProfilePoint | None = None) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail
        self.point = point


MeasurePoint = Callable[[Workload, float, Report], ProfilePoint]
"""Measures a point; no run starts after the given time of `time.perf_counter`. Raises PointLeftOut."""


@dataclass
class Session:
    """The points of one measurement, and those left out. Limits are seconds, None for none."""

    point_limit_seconds: float | None = None
    total_limit_seconds: float | None = None
    points: list[ProfilePoint] = field(default_factory=list)
    not_measured: list[NotMeasured] = field(default_factory=list)

    def measure_points(
        self,
        workloads: tuple[Workload, ...],
        measure_point: MeasurePoint,
        report: Report,
        *,
        prepare: Callable[[Workload], None] | None = None,
    ) -> None:
        """Measure every point that fits and that the time allows. Raises the memory error when it left no point.

        `prepare` compiles what a point needs; that does not count as the point's time.
        """
        end = time.perf_counter() + (self.total_limit_seconds or MAX_SECONDS)
        too_large: list[Workload] = []
        error: BaseException | None = None
        for number, workload in enumerate(workloads):
            if any(_is_as_large(workload, failed) for failed in too_large):
                self._leave_out(workload, "larger_than_memory", "a smaller point ran out of memory")
                continue
            now = time.perf_counter()
            if now >= end:
                detail = f"{self.total_limit_seconds:g} s for all points had passed"
                self._leave_out(workload, "time_limit", detail)
                continue
            share = part(report, number / len(workloads), (number + 1) / len(workloads))
            try:
                if prepare is not None:
                    share(0.0, f"{workload}: compiling")
                    prepare(workload)
                deadline = min(end, time.perf_counter() + (self.point_limit_seconds or MAX_SECONDS))
                self.points.append(measure_point(workload, deadline, share))
                continue
            except PointLeftOut as left:
                if left.point is not None:
                    self.points.append(left.point)
                self._leave_out(workload, left.reason, left.detail)
                continue
            except Exception as caught:
                if failure_of(caught).reason not in _OUT_OF_MEMORY:
                    raise
                error = caught.with_traceback(None)  # its frames hold what did not fit
            too_large.append(workload)
            self._leave_out(workload, "out_of_memory", failure_of(error).message)
            _free_device_memory()
        if error is not None and not self.points:
            raise error

    def _leave_out(self, workload: Workload, reason: Reason, detail: str) -> None:
        self.not_measured.append(NotMeasured(workload=workload, reason=reason, detail=detail[:_MAX_DETAIL]))


def check_context(workloads: tuple[Workload, ...], limit: int | None) -> None:
    """Raise InvalidInput for a point that needs more than `limit` tokens of context."""
    for workload in workloads:
        if limit is not None and workload.context_tokens > limit:
            raise InvalidInput(
                "workloads",
                f"`{workload}` needs {workload.context_tokens} tokens of context",
                allowed=f"at most {limit} for this model",
            )


def _is_as_large(workload: Workload, other: Workload) -> bool:
    """Return whether the workload needs at least as much memory, whatever the model: as much of everything."""
    return (
        workload.concurrency >= other.concurrency
        and workload.input_tokens >= other.input_tokens
        and workload.context_tokens >= other.context_tokens
    )


def _free_device_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.cuda.empty_cache()
