"""What runs inside a unit's child process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from planner.domain.profile import Fact
from worker.campaign.units import ShapeWork, TrainWork
from worker.engines import ModelEngine
from worker.engines.kernels import Kernels
from worker.engines.loading import resolve_device
from worker.measure.kernel import KERNEL_ROWS
from worker.measure.profile import Measured, measure_engine
from worker.progress import Report
from worker.reference.card import Facts

SEED = 0
"""Of the synthetic weights."""


def load_shape(work: ShapeWork) -> ModelEngine:
    """Return a compiled engine over a model of the shape with synthetic weights."""
    from worker.engines.compiled import CompiledEngine, rows_of
    from worker.engines.synthetic import synthetic_model

    device = resolve_device(work.conditions.device)
    model = synthetic_model(work.architecture, work.recipe, device=device, seed=SEED)
    return CompiledEngine(
        model,
        kernels=Kernels(work.kernels),
        rows=(*rows_of(work.conditions.workloads), *KERNEL_ROWS),
        thorough=work.conditions.thorough,
    )


def shape_task(work: ShapeWork, load: Callable[[ShapeWork], ModelEngine], *, report: Report) -> Measured:
    """Measure a shape; `load` makes its engine."""
    facts: dict[str, Fact] = {"synthetic_seed": SEED, "kernels": work.kernels, "shape_of": work.model}

    def loaded() -> ModelEngine:
        engine = load(work)
        products = getattr(engine, "products", None)
        if products is not None:
            facts["products"] = str(products)
        return engine

    return measure_engine(
        loaded, work.variant_id, work.conditions, synthetic_weights=True, facts=facts, report=report
    )


def train_task(work: TrainWork, out: Path, *, report: Report) -> Facts:
    """Train a reference model into the folder `out`."""
    from worker.reference.make import CorpusSettings, make
    from worker.reference.sizes import preset
    from worker.reference.train import resolve_device

    device = resolve_device(work.device)
    chosen = preset(
        work.size,
        device=device,
        seconds=work.seconds,
        steps=work.steps,
        seed=work.seed,
        compiled=work.compile and device.startswith("cuda"),
    )
    shares = {
        "read source": (0.0, 0.05),
        "train tokenizer": (0.05, 0.1),
        "encode": (0.1, 0.19),
        "encode held out": (0.19, 0.2),
        "train": (0.2, 0.95),
    }

    def show(stage: str, share: float, note: str) -> None:
        start, end = shares.get(stage, (0.95, 1.0))
        report(start + (end - start) * share, f"{stage}: {note}" if note else stage)

    return make(
        out,
        shape=chosen.shape,
        source=CorpusSettings(roots=tuple(Path(root) for root in work.roots)),
        settings=msgspec.structs.replace(chosen.settings, batch=work.batch),
        max_stored_bytes=chosen.max_stored_bytes,
        report=show,
    )
