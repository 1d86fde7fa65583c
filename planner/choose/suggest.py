"""Suggested jobs: measurements, evaluations and builds in the very shape in which workers take them.

What stands in the way, such as files that nobody registered, is said with the job instead of being found out hours later
by a worker.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from planner.choose.feasible import Assessment
from planner.choose.index import Index
from planner.choose.recipes import KnownRecipe
from planner.choose.setting import Setting
from planner.domain.constraint import LossLimit
from planner.domain.device import DeviceKind
from planner.domain.job import JobKind
from planner.domain.job_spec import SHIPPED_TASKS
from planner.domain.loss import LossKind
from planner.domain.model import Model
from planner.domain.suggested_job import SuggestedJob
from planner.domain.units import GIB
from planner.domain.workload import Workload
from planner.estimate.memory import memory_terms

_SHORT: Final = Workload(input_tokens=2048, output_tokens=1, concurrency=1)
"""What evaluating holds in memory at once, as a workload."""
_TRAINED_BYTES: Final = 16.0
"""Bytes of a parameter while it is trained: FP32 weight, gradient and two moments of Adam (Rajbhandari et al., ZeRO,
arXiv 1910.02054, section 3.1)."""
_ON_GPU: Final = frozenset({"autoround", "qat", "distillation"})
"""Recipes that run the model many times, which takes a GPU in any size that matters."""
_SMALL: Final = 2 * GIB
"""Models up to this many bytes are worked on anywhere."""


def baseline_row(index: Index, model_id: str) -> int | None:
    """Return the row of the model's baseline whose files are held, None when there is none."""
    rows = [
        row
        for row in np.flatnonzero(index.baseline & index.fetchable).tolist()
        if index.records[row].model_id == model_id
    ]
    return rows[0] if rows else None


def measuring(assessment: Assessment, position: int) -> SuggestedJob:
    """Return the job that measures speed and peak memory of a position at the workload that is asked about."""
    index, setting = assessment.index, assessment.setting
    variant = index.records[int(assessment.rows[position])]
    workload, degree = setting.scenario.workload, int(assessment.terms.degree[position])
    conditions: dict[str, Any] = {
        "workloads": [
            {
                "input_tokens": workload.input_tokens,
                "output_tokens": workload.output_tokens,
                "concurrency": workload.concurrency,
            }
        ]
    }
    if degree > 1:
        conditions["tensor_parallel"] = degree
    blocked = None
    if not variant.is_fetchable:
        blocked = f"the registry holds no files of {variant.name}: register or build it first"
    elif setting.engine not in {None, "transformers"}:
        blocked = f"workers start transformers only: measure a {setting.engine} server with `worker measure --endpoint`"
    return SuggestedJob(
        kind=JobKind.MEASURE,
        spec={"variant": {"from": "registry", "variant": variant.id}, "conditions": conditions},
        requires=(
            *_hardware(setting, float(assessment.total.hi[position]), degree),
            *variant.provenance.needs,
        ),
        blocked=blocked,
    )


def _hardware(setting: Setting, needed: float, degree: int) -> tuple[str, ...]:
    """Return what a worker must be to measure on the hardware that is asked about."""
    hardware = setting.scenario.hardware
    several = (f"gpus>={degree}",) if degree > 1 else ()
    if setting.device is not None:
        return (f"device:{setting.device.id}", *several)
    if hardware is not None and hardware.kind is not DeviceKind.GPU:
        return ("cpu", _memory("ram", needed))
    return ("cuda", _memory("vram", needed), *several)


def _memory(name: str, needed: float) -> str:
    return f"{name}>={math.ceil(needed / GIB)}GiB"


def evaluating(assessment: Assessment, position: int, limit: LossLimit | None) -> SuggestedJob:
    """Return the job that evaluates a position against its baseline, so that its result answers for the loss limit."""
    index = assessment.index
    row = int(assessment.rows[position])
    variant, base = index.records[row], baseline_row(index, index.records[row].model_id)
    task = limit.task if limit is not None else None
    answer = assessment.losses.answers[row]
    by_score = (limit is not None and limit.kind is LossKind.ABSOLUTE) or (
        answer is not None and answer.metric != "perplexity"
    )
    spec: dict[str, Any] = {"variant": {"from": "registry", "variant": variant.id}}
    baseline = index.records[base].id if base is not None else f"{variant.model_id}/baseline"
    spec["baseline"] = {"from": "registry", "variant": baseline}
    blocked = note = None
    if task is not None and task.casefold() in SHIPPED_TASKS:
        spec["tasks"] = [{"from": "reference", "task": task.casefold()}]
    elif task is not None and task.casefold() != "perplexity":
        blocked = f"the task `{task}` does not come with workers: upload its task file and name it in the job"
    elif by_score:
        spec["tasks"] = [{"from": "reference", "task": name} for name in SHIPPED_TASKS]
        note = (
            "scores on the tasks that come with workers: name task files of your own where others matter more"
        )
    if "tasks" in spec and limit is not None and limit.kind is LossKind.RELATIVE and 0 < limit.limit < 1:
        spec["certify"] = {"limit": limit.limit, "confidence": limit.confidence}
    if base is None:
        blocked = (
            f"the registry holds no files of {variant.model_id} at its reference precision: register them"
        )
    if not variant.is_fetchable:
        blocked = f"the registry holds no files of {variant.name}: register or build it first"
    return SuggestedJob(
        kind=JobKind.EVALUATE,
        spec=spec,
        requires=(*_room(index, [row] if base is None else [row, base]), *variant.provenance.needs),
        blocked=blocked,
        note=note,
    )


def _room(index: Index, rows: list[int]) -> tuple[str, ...]:
    """Return the device memory that running the largest of the rows takes; nothing for those that run anywhere."""
    terms = memory_terms(
        index.columns.take(np.array(rows, dtype=np.int64)), _SHORT, devices=1, accelerated=True
    )
    largest = float(index.columns.weight_bytes[rows].max())
    return () if largest <= _SMALL else ("cuda", _memory("vram", float(terms.total.hi.max())))


def building(index: Index, model: Model, known: KnownRecipe, *, weight_bytes: float) -> SuggestedJob:
    """Return the job that builds a recipe from the model's baseline, which must be held."""
    base = baseline_row(index, model.id)
    settings = {"recipe": known.recipe, **known.settings}
    source = index.records[base].id if base is not None else f"{model.id}/baseline"
    spec: dict[str, Any] = {
        "base": {"from": "registry", "variant": source},
        "recipe": settings,
        "model": model.id,
        "name": f"{model.id}-{known.variant_name}",
    }
    trained = known.recipe in {"qat", "distillation"}
    loaded = model.parameters * (_TRAINED_BYTES if trained else 4.0 if known.recipe == "gguf" else 2.0)
    requires = known.requires
    if loaded + weight_bytes > _SMALL:
        on_gpu = known.recipe in _ON_GPU or "cuda" in known.requires
        spec |= {} if on_gpu else {"device": "cpu"}
        requires = (
            *requires,
            *(("cuda",) if on_gpu and "cuda" not in requires else ()),
            _memory("vram" if on_gpu else "ram", loaded + weight_bytes),
        )
    blocked = None
    if base is None:
        blocked = f"the registry holds no files of {model.name} at its reference precision: register them"
    note = None
    if known.needs_text:
        note = "calibrates or trains on the text that comes with workers unless the job names a data set"
    return SuggestedJob(kind=JobKind.BUILD, spec=spec, requires=requires, blocked=blocked, note=note)
