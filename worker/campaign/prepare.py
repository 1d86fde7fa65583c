"""What can be done for several units at once, before they are measured one by one: a machine with a GPU has many cores.

The code of a shape is compiled with one layer, since all its layers share it, and kept on disk. A recipe is built and
evaluated. Nothing is measured meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from planner.errors import PlannerError
from worker.campaign.execute import Executor
from worker.campaign.units import RecipeWork, ShapeWork, Unit
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
    executor: Executor,
    *,
    parallel: int,
    seconds: float,
    logs: Path,
    finished: Callable[[str, str | None], None],
    compile_: Callable[..., object] = prepare_task,
) -> None:
    """Do ahead what can be, for the shapes and recipes among `units`, `parallel` at a time, `seconds` each at most.

    `finished` hears each unit's title and why it failed, None when it did not; what could not be done ahead is done, and
    fails, in its turn. Shapes whose layers are compiled together are left out, since one layer is not enough for them.
    Raises JobStopped.
    """
    logs.mkdir(parents=True, exist_ok=True)

    def shape(unit: Unit, work: ShapeWork) -> str | None:
        try:
            run_isolated(
                compile_,
                work,
                log=logs / f"{unit.folder}.log",
                method=start_method(work.conditions.device),
                report=ignore,
                stop=executor.stop,
                timeout_seconds=seconds,
            )
        except JobStopped:
            raise
        except PlannerError as error:
            return str(error)
        return None

    # Each would otherwise take all cores for itself, and all together would wait for each other.
    threads = max(1, (os.cpu_count() or 1) // parallel)

    def one(unit: Unit) -> None:
        match unit.work:
            case ShapeWork() if not unit.work.conditions.thorough:
                finished(unit.title, shape(unit, unit.work))
            case RecipeWork():
                work = msgspec.structs.replace(unit.work, threads=unit.work.threads or threads)
                failures = executor.build_ahead(unit, work, limit_seconds=seconds)
                finished(unit.title, failures[0].message if failures else None)
            case _:
                return

    with ThreadPoolExecutor(max_workers=parallel) as pool:
        for outcome in [pool.submit(one, unit) for unit in units]:
            outcome.result()
