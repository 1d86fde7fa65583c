"""Locks and deployments: made from stored plans, and held against what the registry knows now."""

from __future__ import annotations

from planner.choose.planner import plan as answer
from planner.choose.planner import why
from planner.deploy.checking import LockCheck, check_lock, gone
from planner.deploy.deploying import deploy
from planner.deploy.deployment import Deployment
from planner.deploy.lock import Lock
from planner.deploy.locking import make_lock
from planner.domain.outcome import Recommended
from planner.errors import InvalidInput
from planner.wire.requests import DeployRequest
from planner.workspace.answers import Answers


class Deploying(Answers):
    """Implements `planner.wire.service.Deploying`."""

    def lock(self, plan_id: str, *, runtime: str | None = None) -> Lock:
        """Return the lock of what a stored plan chose, from the registry as it was then."""
        stored = self.plan(plan_id)
        if not isinstance(stored.result, Recommended):
            raise InvalidInput(
                "plan_id",
                f"plan `{plan_id}` is infeasible and chose nothing",
                allowed="a plan that recommends a variant",
            )
        index = self.snapshots.as_of(stored.revision)
        variant = index.variants[stored.result.chosen.variant_id]
        hardware = stored.scenario.hardware
        device = index.device(hardware.device_id) if hardware and hardware.device_id else None
        others = tuple(index.variants[each.variant_id] for each in stored.result.alternatives)
        return make_lock(
            stored, variant, index.models[variant.model_id], device, runtime=runtime, others=others
        )

    def check(self, lock: Lock) -> LockCheck:
        """Return how a lock stands, from one revision of the registry and the time now."""
        index, now = self.snapshots.current(), self.now()
        if lock.variant.id not in index.rows:
            return gone(lock, revision=index.revision)
        state = index.standing.by_variant.get(lock.variant.id)
        if state is not None and not state.state.has_files:
            return gone(lock, revision=index.revision, state=state.describe())
        candidate, elimination = why(lock.scenario, index, lock.variant.id, now=now)
        outcome = answer(lock.scenario, index, now=now)
        chosen = outcome.chosen if isinstance(outcome, Recommended) else None
        return check_lock(lock, candidate, elimination, chosen, revision=index.revision)

    def deploy(self, request: DeployRequest) -> Deployment:
        """Return what serves a lock as it is, or a stored plan's answer after locking it for the target's runtime."""
        if (request.plan_id is None) == (request.lock is None):
            raise InvalidInput("plan_id", "give a plan or a lock", allowed="exactly one of the two")
        if request.lock is not None:
            if request.runtime is not None:
                raise InvalidInput("runtime", "is fixed by the lock", allowed="leave it out")
            return deploy(request.lock, request.options)
        runtime = request.options.target.runtime or request.runtime
        return deploy(self.lock(request.plan_id or "", runtime=runtime), request.options)
