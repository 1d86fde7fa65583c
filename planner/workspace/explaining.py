"""Answers compared, swept, and followed by what would change them, from one index each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from planner.choose.builds import builds
from planner.choose.compare import compare_plans, compare_variants
from planner.choose.index import Index
from planner.choose.sweep import sweep
from planner.choose.sweep_range import parse_range
from planner.choose.value_of_measurement import measurements
from planner.domain.advice import BuildAdvice, MeasurementAdvice, WorthBuilding, WorthMeasuring
from planner.domain.comparison import Comparison
from planner.domain.job import Job
from planner.domain.scenario import Scenario
from planner.domain.sweep import Sweep
from planner.errors import InvalidInput
from planner.registry.variants import get as get_variant
from planner.wire.explaining import MAX_QUEUED, Queued
from planner.wire.requests import JobRequest
from planner.workspace.answers import Answers
from planner.workspace.working import Working

Asked = tuple[Scenario, Index, datetime]


class Explaining(Answers, Working):
    """Implements `planner.wire.explaining.Explaining`."""

    def _asked(self, plan_id: str | None, query: str | None) -> Asked:
        """Return the question of a stored plan as of its revision and time, or of a query as of now."""
        if (plan_id is None) == (query is None):
            raise InvalidInput("query", "give a plan or a query", allowed="exactly one of the two")
        if plan_id is not None:
            stored = self.plan(plan_id)
            return stored.scenario, self.snapshots.as_of(stored.revision), stored.as_of
        index = self.snapshots.current()
        return self.scenario_of(query or "", index), index, self.now()

    def compare(
        self, variants: Sequence[str], *, plan_id: str | None = None, query: str | None = None
    ) -> Comparison:
        """Return variants side by side."""
        names = self._ids(variants)
        if plan_id is None and query is None:
            return compare_variants(names, self.snapshots.current(), now=self.now())
        scenario, index, now = self._asked(plan_id, query)
        question = query if query is not None else f"plan {plan_id}"
        return compare_variants(names, index, scenario=scenario, now=now, question=question)

    def _ids(self, names: Sequence[str]) -> tuple[str, ...]:
        with self.registry.read() as tx:
            return tuple(get_variant(tx, name).id for name in names)

    def compare_plans(self, plan_ids: Sequence[str]) -> Comparison:
        """Return the answers of stored plans side by side."""
        return compare_plans([self.plan(plan_id) for plan_id in plan_ids])

    def sweep(self, over: str, *, plan_id: str | None = None, query: str | None = None) -> Sweep:
        """Return what is chosen while one bound moves over a range."""
        scenario, index, now = self._asked(plan_id, query)
        return sweep(scenario, index, parse_range(over, scenario), now=now)

    def measurements(self, *, plan_id: str | None = None, query: str | None = None) -> MeasurementAdvice:
        """Return the measurements that could change the answer."""
        scenario, index, now = self._asked(plan_id, query)
        return measurements(scenario, index, now=now)

    def builds(self, *, plan_id: str | None = None, query: str | None = None) -> BuildAdvice:
        """Return builds that could satisfy the question."""
        scenario, index, now = self._asked(plan_id, query)
        return builds(scenario, index, now=now)

    def queue_measurements(self, plan_id: str, *, count: int = 1) -> Queued:
        """Queue the jobs of the first measurements that can be done."""
        return self._queue(self.measurements(plan_id=plan_id).measurements, count)

    def queue_builds(self, plan_id: str, *, count: int = 1) -> Queued:
        """Queue the jobs of the first builds that can be done."""
        return self._queue(self.builds(plan_id=plan_id).builds, count)

    def _queue(self, suggestions: Iterable[WorthMeasuring | WorthBuilding], count: int) -> Queued:
        if not 1 <= count <= MAX_QUEUED:
            raise InvalidInput("count", f"{count} is out of range", allowed=f"1 to {MAX_QUEUED}")
        jobs: list[Job] = []
        passed_over: dict[str, None] = {}
        for suggestion in suggestions:
            job = suggestion.job
            if len(jobs) == count:
                break
            if job.blocked is not None:
                passed_over[f"{job.kind.value} {suggestion.name}: {job.blocked}"] = None
                continue
            request = JobRequest(kind=job.kind, spec=job.spec, requires=job.requires)
            jobs.append(self.create_job(request))
        return Queued(jobs=tuple(jobs), passed_over=tuple(passed_over))
