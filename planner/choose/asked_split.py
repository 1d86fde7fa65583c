"""Asked split: parallelism that a question names, which leaves only those placements that are split just so.

Tensor and pipeline parallelism and replicas are found by the planner unless they are asked for. A variant whose shape cannot be
split as asked satisfies nothing; whether one that can be fits is what memory says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from planner.choose.losses import CODE
from planner.choose.setting import Setting
from planner.domain.outcome import Verdict
from planner.domain.scenario import Scenario
from planner.estimate.columns import Booleans, Columns, Integers
from planner.estimate.placement import Split, parallel_degree, placements

PARALLELISM: Final = "parallelism"
"""Key of what is asked of the split."""


def asked_parallelism(scenario: Scenario) -> str | None:
    """Return the parallelism asked for in words, None when the planner is to find it."""
    return scenario.hardware.parallelism if scenario.hardware is not None else None


def any_split(scenario: Scenario) -> Scenario:
    """Return the scenario on the same devices, split however it suits."""
    hardware = scenario.hardware
    if hardware is None:
        return scenario
    free = msgspec.structs.replace(hardware, tensor_parallel=None, pipeline_parallel=None, replicas=None)
    return msgspec.structs.replace(scenario, hardware=free)


def as_asked(setting: Setting, split: Split) -> Booleans:
    """Return by row whether a split is the one asked for and leaves devices for the replicas asked for."""
    found = np.ones(len(split.tensor), dtype=np.bool_)
    hardware = setting.scenario.hardware
    if hardware is None:
        return found
    if hardware.tensor_parallel is not None:
        found &= split.tensor == hardware.tensor_parallel
    if hardware.pipeline_parallel is not None:
        found &= split.pipeline == hardware.pipeline_parallel
    if hardware.replicas is not None:
        found &= setting.devices // split.devices >= hardware.replicas
    return found


def verdicts(setting: Setting, split: Split) -> Integers:
    """Return the verdict codes of the parallelism asked for."""
    return np.where(as_asked(setting, split), CODE[Verdict.MET], CODE[Verdict.VIOLATED])


def ways(setting: Setting, columns: Columns) -> Iterator[tuple[Split, Booleans]]:
    """Yield the placements that the question leaves open, each with the rows it is valid for; preferred ones first.

    Where parallelism is asked for, the first covers every row: with its first split of those, else with its largest.
    """
    hardware = setting.scenario.hardware
    asked = hardware.pipeline_parallel if hardware is not None else None
    every = placements(columns, setting.devices, nodes=setting.nodes, stages=asked)
    if asked_parallelism(setting.scenario) is None:
        yield from every
        return
    open_ = [(split, valid & as_asked(setting, split)) for split, valid in every]
    tensor = parallel_degree(columns, setting.devices // setting.nodes)
    pipeline = np.ones(len(columns), dtype=np.int64)
    for split, valid in reversed(open_):
        tensor, pipeline = np.where(valid, split.tensor, tensor), np.where(valid, split.pipeline, pipeline)
    yield Split(tensor, pipeline), np.ones(len(columns), dtype=np.bool_)
    yield from (way for way in open_ if way[1].any())
