"""Search with numeric filters over 1,000 models and 10,000 versions, over HTTP, beside MLflow's registry with the same data.

    PLANNER_BENCH_MLFLOW=PYTHON python -m pytest tests/bench/bench_search.py -m bench -s

PYTHON is an interpreter whose environment has MLflow, which is no dependency; without it only our figures are printed.
MLflow keeps its versions in SQLite too, with size, bits, loss, TPOT and memory as tags. Its filters compare tags as text, for
equality and LIKE only, so its client has equal tags found by the database, pages through what is left and compares numbers
itself; that is what is timed, in process and without HTTP. PLANNER_BENCH_MODELS and
PLANNER_BENCH_VERSIONS (in all) set the size.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from planner.domain.evaluation import Evaluation
from planner.domain.figure import Basis, exact
from planner.domain.model import Model
from planner.domain.profile import Profile
from planner.domain.units import GIB, Unit
from planner.domain.variant import Variant
from planner.domain.workload import Workload
from planner.estimate.weights import modelled_weight_bytes
from planner.registry import devices, evaluations, kinds, models, profiles, variants
from planner.registry.kinds import REGISTERED
from planner.settings import load_settings
from planner.workspace import Workspace
from tests.api.process import running_server
from tests.choose.records import GPU, MODELS, SCHEMES, evaluation, model, profile, variant
from tests.workspace.fixtures import data_template

__all__ = ["data_template"]

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

MODEL_COUNT = int(os.environ.get("PLANNER_BENCH_MODELS", "1000"))
VERSION_COUNT = int(os.environ.get("PLANNER_BENCH_VERSIONS", "10000"))
REQUESTS = 200
LOADS = (Workload(input_tokens=512, output_tokens=128),)
MIB = 1 << 20


def generate() -> tuple[list[Model], list[Variant], list[Evaluation], list[Profile]]:
    """Return models and their versions, each with a loss, a speed and a peak of memory."""
    order = random.Random(20)
    made = [
        model(f"model-{number:04d}", of.architecture, of.size_billions or 7.0, family=of.family)
        for number in range(MODEL_COUNT)
        for of in (MODELS[number % len(MODELS)],)
    ]
    versions: list[Variant] = []
    losses: list[Evaluation] = []
    speeds: list[Profile] = []
    names = list(SCHEMES)
    for number in range(VERSION_COUNT):
        of, scheme = made[number % MODEL_COUNT], names[order.randrange(len(names))]
        size = modelled_weight_bytes(of.architecture, SCHEMES[scheme]).value * order.uniform(0.97, 1.03)
        weights = exact(float(round(size)), Unit.BYTES, basis=Basis.MEASURED)
        versions.append(variant(of, scheme, weights=weights, salt=number))
        losses.append(evaluation(versions[-1], order.uniform(-0.005, 0.06)))
        peak = round(size * order.uniform(1.1, 1.4))
        times = {load: (order.uniform(0.02, 1.0), order.uniform(0.003, 0.08)) for load in LOADS}
        speeds.append(profile(versions[-1], GPU, times, peak_bytes=peak))
    return made, versions, losses, speeds


def fill(
    workspace: Workspace,
    made: list[Model],
    versions: list[Variant],
    losses: list[Evaluation],
    speeds: list[Profile],
) -> None:
    with workspace.registry.write() as tx:
        kinds.add(tx, models.KIND, made, source=REGISTERED)
        kinds.add(tx, devices.KIND, [GPU], source=REGISTERED)
        kinds.add(tx, variants.KIND, versions, source=REGISTERED)
        kinds.add(tx, evaluations.KIND, losses, source=REGISTERED)
        kinds.add(tx, profiles.KIND, speeds, source=REGISTERED)
        ids = [each.id for each in versions]
        evaluations.refresh_loss(tx, ids)
        profiles.count(tx, ids)


def searches() -> dict[str, list[str]]:
    """Return addresses by kind of search; each kind asks for other numbers every time, so that nothing is remembered."""
    order = random.Random(21)
    found: dict[str, list[str]] = {}
    for _ in range(REQUESTS):
        size, loss = order.randrange(4 * GIB, 40 * GIB), order.uniform(0.0, 0.05)
        bits, of = order.choice((4, 8, 16)), f"model-{order.randrange(MODEL_COUNT):04d}"
        tpot, memory = order.randrange(5, 80), order.randrange(8, 80)
        for kind, address in {
            "size": f"max_weight_bytes={size}&sort=-weight_bytes",
            "bits": f"min_bits={bits}&max_bits={bits}&sort=loss",
            "loss": f"max_loss={loss:.6f}&sort=-loss",
            "size, bits and loss": f"max_weight_bytes={size}&max_bits={bits}&max_loss={loss:.6f}&sort=loss",
            "one model, size and loss": f"model={of}&max_weight_bytes={size}&max_loss={loss:.6f}&sort=loss",
            "words and loss": f"search={order.randrange(100)}+int4&max_loss={loss:.6f}&sort=weight_bytes",
        }.items():
            found.setdefault(kind, []).append(f"/api/v1/variants?{address}&limit=50")
        for kind, question in {
            "planner: loss, TPOT and memory of one model": f"{of} on {memory}GB, loss <= {100 * loss:.3f}%, tpot <= {tpot} ms",
            "planner: loss and memory of every model": f"on {memory}GB, loss <= {100 * loss:.3f}%",
        }.items():
            found.setdefault(kind, []).append(f"/api/v1/recommend?q={quote(question)}")
    return found


def milliseconds(connection: http.client.HTTPConnection, addresses: list[str]) -> list[float]:
    times: list[float] = []
    for address in addresses:
        started = time.perf_counter()
        connection.request("GET", address)
        answer = connection.getresponse()
        body = answer.read()
        times.append(1000 * (time.perf_counter() - started))
        assert answer.status == 200, body[:400]
    return times


def tell(kind: str, times: list[float], *, theirs: float | None = None) -> None:
    beside = (
        ""
        if theirs is None
        else f"; MLflow {theirs:.1f} ms, {theirs / statistics.median(times):.1f} times that"
    )
    print(
        f"{kind:<46} median {statistics.median(times):7.1f} ms, p95 {statistics.quantiles(times, n=20)[-1]:7.1f} ms{beside}"
    )


def mlflow(
    versions: list[Variant], losses: list[Evaluation], speeds: list[Profile], database: Path
) -> dict[str, Any]:
    """Return the milliseconds of MLflow's searches by kind, none when it is not at hand."""
    python = os.environ.get("PLANNER_BENCH_MLFLOW")
    if not python:
        print("MLflow is not at hand: PLANNER_BENCH_MLFLOW names no interpreter that has it")
        return {}
    lines: list[str] = []
    counts: dict[str, int] = {}
    for each, lost, speed in zip(versions, losses, speeds, strict=True):
        counts[each.model_id] = counts.get(each.model_id, 0) + 1
        (point,) = speed.points
        assert point.tpot_seconds is not None
        assert lost.relative_loss is not None
        tags = {
            "bytes": each.weight_bytes.value,
            "bits": each.scheme.nominal_bits,
            "loss": lost.relative_loss.value,
            "tpot": point.tpot_seconds.mean,
            "memory": point.memory.peak_device_bytes,
        }
        lines.append(json.dumps({"name": each.model_id, "version": counts[each.model_id], "tags": tags}))
    script = Path(__file__).with_name("mlflow_versions.py")
    done = subprocess.run(
        [python, str(script), str(database)],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_search(data_template: Path, tmp_path: Path) -> None:
    made, versions, losses, speeds = generate()
    data_dir = Path(shutil.copytree(data_template, tmp_path / "data"))
    started = time.perf_counter()
    with Workspace(load_settings({}, data_dir=data_dir)) as workspace:
        fill(workspace, made, versions, losses, speeds)
    print(
        f"\n{len(made)} models, {len(versions)} versions, filled in {time.perf_counter() - started:.0f} s; "
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {REQUESTS} requests of each kind"
    )
    theirs = mlflow(versions, losses, speeds, tmp_path / "mlflow.db")
    with running_server(data_dir) as server:
        place = urlsplit(server.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=120)
        for kind, addresses in searches().items():
            milliseconds(connection, addresses[:3])  # the first answers load the index
            tell(kind, milliseconds(connection, addresses), theirs=theirs.get(kind))
        connection.close()
