"""The same question put to others: MLflow's search of model versions, and llmfit.

    PLANNER_BENCH_MLFLOW=PYTHON PLANNER_BENCH_LLMFIT=PROGRAM python -m pytest tests/bench/bench_peers.py -m bench -s

PYTHON is an interpreter whose environment has mlflow (or mlflow-skinny) and sqlalchemy, PROGRAM is llmfit. Neither is a
dependency: what is not there is skipped. MLflow gets the same variants with what each needs and loses worked out already;
llmfit answers from a catalogue of its own, so its time is that of a program which starts, estimates and ranks.
"""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from planner.choose.feasible import assess_rows
from planner.choose.setting import resolve
from planner.domain.loss import LossKind
from tests.bench.bench_recommend import SCENARIOS, quantile, spent
from tests.choose.records import generate

pytestmark = pytest.mark.bench

SIZES = (1_000, 10_000)
QUESTION = "13B on 24GB, loss ≤ 1 %"


@pytest.mark.parametrize("size", SIZES)
def test_mlflow_model_version_search(size: int, tmp_path: Path) -> None:
    python = os.environ.get("PLANNER_BENCH_MLFLOW")
    if not python:
        pytest.skip("MLflow is not at hand: PLANNER_BENCH_MLFLOW names no interpreter that has it")
    index = generate(size, seed=1, profiled=0.01).index()
    setting = resolve(SCENARIOS[QUESTION], index, now=None)
    needed = assess_rows(index, setting, np.arange(len(index), dtype=np.int64)).total.hi
    loss = index.losses(LossKind.RELATIVE, None).value
    lines = "".join(
        json.dumps({
            "name": variant.id,
            "size": f"{index.row_models[row].size_billions:g}",
            "bytes": float(needed[row]),
            "loss": 1.0 if math.isnan(loss[row]) else float(loss[row]),
        })
        + "\n"
        for row, variant in enumerate(index.records)
    )  # fmt: skip
    script = Path(__file__).with_name("mlflow_search.py")
    ran = subprocess.run(
        [python, str(script), str(tmp_path / "registry.db")],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    searched = json.loads(ran.stdout.splitlines()[-1])
    assert searched["best"] is not None
    theirs = statistics.median(searched["seconds"]) * 1e3
    ours = quantile(spent([SCENARIOS[QUESTION]] * 40, index), 0.5)
    print(
        f"\n{size:>7,} variants: MLflow finds {searched['found']:,} in {theirs:,.1f} ms of processor time, "
        f"a recommendation with its reasons takes {ours:.2f} ms: {theirs / ours:.1f}x"
    )


def test_llmfit_recommendation() -> None:
    program = os.environ.get("PLANNER_BENCH_LLMFIT") or shutil.which("llmfit")
    if not program:
        pytest.skip("llmfit is not at hand: neither on the path nor named by PLANNER_BENCH_LLMFIT")
    times: list[float] = []
    answer = ""
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ran = subprocess.run(
            [program, "--json", "--memory", "24G", "recommend"],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        answer = ran.stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert json.loads(answer)["models"]
    start = time.process_time()
    index = generate(10_000, seed=1, profiled=0.01).index()
    built = time.process_time() - start
    ours = quantile(spent([SCENARIOS["any model on 24GB, loss ≤ 1 %"]] * 40, index), 0.5)
    theirs = statistics.median(times) * 1e3
    print(
        f"\nllmfit starts and recommends in {theirs:,.0f} ms of processor time; of 10,000 variants, whose index took "
        f"{built:.1f} s to make once, a recommendation takes {ours:.2f} ms"
    )
