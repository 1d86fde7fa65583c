"""A profile of one variant over several devices at once."""

from __future__ import annotations

from pathlib import Path

import msgspec

from planner.domain.profile import Fact
from worker.engines import ModelEngine
from worker.engines.loading import resolve_device
from worker.engines.parallel import ParallelEngine, check_degree
from worker.identity import content_id
from worker.measure.profile import Conditions, Measured, measure_engine
from worker.progress import Report, ignore


def measure_parallel(
    directory: Path, variant_id: str, conditions: Conditions, *, report: Report = ignore
) -> Measured:
    """Measure the variant in `directory` cut over the devices that the conditions say; figures are those of rank 0.

    Times cover all ranks, since none can be ahead of the others by more than a layer. Memory is rank 0's, one device's;
    the bytes of weights of every rank are facts of the environment, and `weights` are rank 0's. Raises what
    `measure_engine` and `ParallelEngine.load` raise.
    """
    degree = conditions.tensor_parallel
    device = resolve_device(conditions.device)
    check_degree(directory, degree, device)
    conditions = msgspec.structs.replace(
        conditions, threads=_threads(degree) if conditions.threads is None else conditions.threads
    )
    facts: dict[str, Fact] = {"tensor_parallel": degree}
    engines: list[ParallelEngine] = []

    def load() -> ModelEngine:
        engine = ParallelEngine.load(directory, degree, device=device, threads=conditions.threads)
        engines.append(engine)
        facts.update(engine.facts)
        return engine

    try:
        measured = measure_engine(load, variant_id, conditions, facts=facts, report=report)
    finally:
        for engine in engines:
            engine.close()
    profile = msgspec.structs.replace(measured.profile, id="", devices=degree)
    return msgspec.structs.replace(
        measured, profile=msgspec.structs.replace(profile, id=content_id("profile", profile))
    )


def _threads(degree: int) -> int:
    """Return each rank's share of the threads that torch would use alone."""
    import torch

    return max(1, torch.get_num_threads() // degree)
