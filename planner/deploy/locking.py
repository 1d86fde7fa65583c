"""Locking: from a plan that recommends a variant to the lock that pins it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from planner.deploy.arguments import Settings, arguments_for
from planner.deploy.loading import check_loads, containers_of, first_loading
from planner.deploy.lock import (
    LOCK_VERSION,
    Lock,
    LockedCheck,
    LockedFigure,
    LockedModel,
    LockedPlacement,
    LockedPlan,
    LockedRuntime,
    LockedVariant,
)
from planner.deploy.runtimes import RUNTIMES, RuntimeFacts, runtime_facts
from planner.domain.constraint import RuntimeFilter
from planner.domain.device import Device, DeviceKind
from planner.domain.figure import Basis, Figure
from planner.domain.model import Model
from planner.domain.outcome import Candidate, MemoryEstimate, Plan, Recommended
from planner.domain.runtime import canonical
from planner.domain.scenario import Origin, Scenario
from planner.domain.variant import Variant
from planner.errors import InvalidInput
from planner.estimate.memory import estimate_memory

_STALE: Final = "stale"
"""Word by which the note of a figure says that its evidence is too old."""


def under_runtime(scenario: Scenario, name: str) -> Scenario:
    """Return `scenario` with the runtime called `name` as a constraint that was asked for.

    Raises InvalidInput when the scenario asks for another one, or nothing is known of how to start it.
    """
    facts = runtime_facts(name)
    asked = next((each for each in scenario.constraints if isinstance(each, RuntimeFilter)), None)
    if asked is None:
        constraint = RuntimeFilter(name=facts.name)
        return msgspec.structs.replace(
            scenario,
            constraints=(*scenario.constraints, constraint),
            origins={**scenario.origins, constraint.key: Origin.ASKED},
        )
    if canonical(asked.name) != facts.name:
        raise InvalidInput(
            "runtime", f"`{facts.name}` is not the one in the question", allowed=canonical(asked.name)
        )
    return scenario


def make_lock(
    plan: Plan,
    variant: Variant,
    model: Model,
    device: Device | None,
    *,
    runtime: str | None = None,
    others: Iterable[Variant] = (),
) -> Lock:
    """Return the lock of what `plan` chose. `variant`, `model` and `device` are those of its answer.

    Without `runtime`, it is the one the scenario asks for (none when no commands are written for that one), that of the speeds in the answer, or the first that can load
    the variant. Raises InvalidInput for an infeasible plan, and for a runtime that cannot load the variant, naming the first
    of `others`, the alternatives, that it could.
    """
    if not isinstance(plan.result, Recommended):
        raise InvalidInput(
            "plan", f"`{plan.id}` is infeasible and chose nothing", allowed="a plan that recommends a variant"
        )
    chosen = plan.result.chosen
    placement = _placement(plan.scenario, chosen, device)
    facts = _runtime(plan.scenario, chosen, variant, placement.kind, wanted=runtime, others=others)
    return Lock(
        lock_version=LOCK_VERSION,
        plan=LockedPlan(
            plan_id=plan.id,
            revision=plan.revision,
            as_of=plan.as_of,
            planner_version=plan.planner_version,
            query=plan.query,
        ),
        scenario=plan.scenario,
        constraints=plan.understood,
        model=LockedModel(id=model.id, name=model.name, parameters=model.parameters, license=model.license),
        variant=LockedVariant(
            id=variant.id,
            name=variant.name,
            scheme=variant.scheme.name,
            file_format=variant.file_format,
            fetchable=variant.is_fetchable,
        ),
        placement=placement,
        runtime=None
        if facts is None
        else _locked_runtime(
            facts, scenario=plan.scenario, chosen=chosen, variant=variant, model=model, placement=placement
        ),
        files=tuple(sorted(variant.artifacts)),
        figures=figures_of(chosen),
        checks=checks_of(chosen),
        evidence=evidence_of(chosen),
    )


def _placement(scenario: Scenario, chosen: Candidate, device: Device | None) -> LockedPlacement:
    hardware = scenario.hardware
    capacity = chosen.memory.capacity
    kind = device.kind if device else hardware.kind if hardware else DeviceKind.GPU
    return LockedPlacement(
        kind=kind,
        count=hardware.count if hardware else 1,
        tensor_parallel=chosen.memory.devices // chosen.memory.pipeline_parallel,
        pipeline_parallel=chosen.memory.pipeline_parallel,
        nodes=hardware.nodes if hardware else 1,
        partition=hardware.partition if hardware else None,
        replicas=chosen.serving.replicas if chosen.serving else 1,
        device_id=device.id if device else None,
        device_name=device.name if device else None,
        vendor=device.vendor if device else None,
        capacity_bytes=int(capacity.value) if capacity else None,
    )


def _runtime(
    scenario: Scenario,
    chosen: Candidate,
    variant: Variant,
    kind: DeviceKind,
    *,
    wanted: str | None,
    others: Iterable[Variant],
) -> RuntimeFacts | None:
    asked = next((each.name for each in scenario.constraints if isinstance(each, RuntimeFilter)), None)
    name = wanted or asked
    if wanted is None and asked is not None and canonical(asked) not in RUNTIMES:
        return None  # the answer can be locked and judged; only commands for it are not written here
    if name is not None:
        facts = runtime_facts(name)
        check_loads(facts, variant, kind, others=others)
        return facts
    seen = chosen.latency.runtime
    if seen is not None:
        try:
            facts = runtime_facts(seen.partition(" ")[0])
            check_loads(facts, variant, kind)
        except InvalidInput:
            return first_loading(variant, kind)
        return facts
    return first_loading(variant, kind)


def _locked_runtime(
    facts: RuntimeFacts,
    *,
    scenario: Scenario,
    chosen: Candidate,
    variant: Variant,
    model: Model,
    placement: LockedPlacement,
) -> LockedRuntime:
    memory = _memory_under(
        facts, scenario=scenario, chosen=chosen, variant=variant, model=model, placement=placement
    )
    settings = Settings(
        workload=scenario.workload,
        memory=memory,
        kv=variant.scheme.kv,
        tensor_parallel=placement.tensor_parallel,
        pipeline_parallel=placement.pipeline_parallel,
        kind=placement.kind,
        containers=containers_of(variant),
    )
    return LockedRuntime(
        name=facts.name,
        version=facts.version,
        arguments=arguments_for(facts, settings),
        peak_bytes=int(memory.total.value),
        fit_probability=memory.fit_probability,
    )


def _memory_under(
    facts: RuntimeFacts,
    *,
    scenario: Scenario,
    chosen: Candidate,
    variant: Variant,
    model: Model,
    placement: LockedPlacement,
) -> MemoryEstimate:
    """Return the answer's memory where it was recorded or is of a pipeline, else that under this very runtime's priors."""
    if chosen.memory.total.basis is not Basis.MODELLED or placement.pipeline_parallel > 1:
        return chosen.memory
    return estimate_memory(
        model.architecture,
        variant.weight_bytes,
        variant.scheme,
        scenario.workload,
        capacity=chosen.memory.capacity,
        runtime=facts.name,
        devices=placement.tensor_parallel,
        accelerated=placement.kind is DeviceKind.GPU,
    )


def named_figures(candidate: Candidate) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of an answer that a lock keeps, by name."""
    memory, latency = candidate.memory, candidate.latency
    named = (
        ("memory.weights", memory.weights),
        ("memory.kv_cache", memory.kv_cache),
        ("memory.activations", memory.activations),
        ("memory.overhead", memory.overhead),
        ("memory.total", memory.total),
        ("memory.capacity", memory.capacity),
        ("disk", candidate.disk),
        ("loss", candidate.loss.figure if candidate.loss else None),
        ("ttft", latency.ttft),
        ("tpot", latency.tpot),
        ("throughput", latency.throughput),
    )
    yield from ((key, figure) for key, figure in named if figure is not None)


def figures_of(candidate: Candidate) -> tuple[LockedFigure, ...]:
    """Return the figures of an answer as a lock keeps them."""
    return tuple(
        LockedFigure(
            key=key,
            value=figure.value,
            unit=figure.unit,
            basis=figure.basis,
            lo=figure.interval.lo if figure.interval else None,
            hi=figure.interval.hi if figure.interval else None,
            confidence=figure.interval.confidence if figure.interval else None,
            stale=_STALE in (figure.note or ""),
        )
        for key, figure in named_figures(candidate)
    )


def checks_of(candidate: Candidate) -> tuple[LockedCheck, ...]:
    """Return the verdicts of an answer."""
    return tuple(
        LockedCheck(key=check.key, asked=check.asked, verdict=check.verdict) for check in candidate.checks
    )


def evidence_of(candidate: Candidate) -> tuple[str, ...]:
    """Return the ids of the evidence behind an answer's figures and checks, each once, sorted."""
    held = {each for _, figure in named_figures(candidate) for each in figure.evidence}
    held.update(each for check in candidate.checks if check.figure for each in check.figure.evidence)
    return tuple(sorted(held))
