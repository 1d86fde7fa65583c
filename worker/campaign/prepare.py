"""Compiling ahead: before shapes are measured one by one, the code they will need is compiled for several at once.

Compilers use a core or two, a machine with a GPU has many, and what they make is kept on disk. One layer is enough, since
all layers of a shape share their code. Nothing is measured meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from planner.errors import PlannerError
from worker.campaign.units import ShapeWork, Unit
from worker.failure import JobStopped
from worker.isolation import run_isolated
from worker.progress import Report, ignore
from worker.runner import start_method

SHORT_TOKENS: Final = 512
"""Input tokens of the runs that compile: code is made for any length, so the shortest does."""
MAX_PARALLEL: Final = 16


def prepare_task(work: ShapeWork, *, report: Report) -> None:
    """Compile what measuring the shape will need, with one layer of it."""
    import numpy as np

    from worker.engines.compiled import CompiledEngine, rows_of
    from worker.engines.kernels import Kernels
    from worker.engines.loading import resolve_device
    from worker.engines.synthetic import synthetic_model
    from worker.measure.kernel import KERNEL_ROWS

    conditions = work.conditions
    model = synthetic_model(
        work.architecture, work.recipe, device=resolve_device(conditions.device), layers=1
    )
    engine = CompiledEngine(
        model,
        kernels=Kernels(work.kernels),
        rows=(*rows_of(conditions.workloads), *KERNEL_ROWS),
        thorough=conditions.thorough,
    )
    batches = sorted({workload.concurrency for workload in conditions.workloads})
    tokens = min(SHORT_TOKENS, *(workload.input_tokens for workload in conditions.workloads))
    for number, batch in enumerate(batches):
        report(number / len(batches), f"{batch} at once")
        engine.generate(np.zeros((batch, tokens), dtype=np.int64), 2)


def prepare(
    units: Sequence[Unit],
    *,
    parallel: int,
    seconds: float,
    logs: Path,
    stop: threading.Event | None = None,
    finished: Callable[[str, str | None], None],
    run: Callable[..., object] = prepare_task,
) -> None:
    """Compile ahead for the shapes among `units`, `parallel` at a time, `seconds` each at most.

    `finished` hears each unit's title and why it failed, None when it did not; a shape that could not be prepared is
    measured all the same. Layers compiled together are not prepared, since one layer is not enough for them. Raises
    JobStopped.
    """
    shapes = [
        (unit, unit.work)
        for unit in units
        if isinstance(unit.work, ShapeWork) and not unit.work.conditions.thorough
    ]
    logs.mkdir(parents=True, exist_ok=True)

    def one(unit: Unit, work: ShapeWork) -> None:
        try:
            run_isolated(
                run,
                msgspec.structs.replace(work),
                log=logs / f"{unit.folder}.log",
                method=start_method(work.conditions.device),
                report=ignore,
                stop=stop,
                timeout_seconds=seconds,
            )
        except JobStopped:
            raise
        except PlannerError as error:
            finished(unit.title, str(error))
        else:
            finished(unit.title, None)

    with ThreadPoolExecutor(max_workers=parallel) as pool:
        for outcome in [pool.submit(one, unit, work) for unit, work in shapes]:
            outcome.result()
