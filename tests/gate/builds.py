"""Real registered builds with evidence: a base, and variants of it, in a workspace."""

from __future__ import annotations

from pathlib import Path

from planner.domain.evaluation import Evaluation
from planner.domain.variant import Provenance, Variant
from planner.wire.service import Service
from tests.gate.records import evaluation, outcomes
from tests.workspace.folders import write_llama


def register(service: Service, folder: Path, name: str, *, seed: int, base: str | None = None) -> Variant:
    """Register a tiny Llama of its own bytes."""
    registration = service.register(
        write_llama(folder / name, seed=seed),
        model="gated-llama",
        name=name,
        provenance=Provenance(base_variant_id=base),
    )
    assert registration.variant is not None
    return registration.variant


def evaluated(
    service: Service,
    build: Variant,
    base: Variant,
    *,
    lost: int,
    gained: int,
    items: int,
    task: str = "maths",
) -> Evaluation:
    """Hand in an evaluation of a build against its base."""
    made = evaluation(
        outcomes(lost, gained, items),
        of=build,
        task=task,
        id=f"{build.name}-{task}-{lost}-{gained}-{items}",
        baseline_variant_id=base.id,
    )
    service.submit_evaluation(made)
    return made
