from __future__ import annotations

import math
from typing import Any

import pytest

from planner.domain.architecture import Architecture
from planner.domain.constraint import (
    Constraint,
    Direction,
    DiskLimit,
    FormatFilter,
    LatencyLimit,
    LatencyMetric,
    LicenseFilter,
    LossLimit,
    RuntimeFilter,
    SchemeFilter,
    Scope,
    ThroughputFloor,
)
from planner.domain.device import DeviceKind
from planner.domain.loss import LossKind
from planner.domain.model import Model
from planner.domain.scenario import Hardware, ModelSelector, Objective, Origin, Scenario, SelectorKind
from planner.domain.scheme import NumberFormat
from planner.domain.workload import Workload
from planner.errors import InvalidInput

TTFT = LatencyMetric.TTFT


@pytest.mark.parametrize(
    ("constraint", "key", "words"),
    [
        (LossLimit(limit=0.01), "loss", "relative loss ≤ 1 %"),
        (
            LossLimit(limit=2, kind=LossKind.ABSOLUTE, task="mmlu", certified_only=True),
            "loss:mmlu",
            "absolute loss on mmlu ≤ 2 points (certified)",
        ),
        (LatencyLimit(metric=TTFT, limit=0.5, quantile="p95"), "ttft", "p95 TTFT ≤ 500 ms"),
        (LatencyLimit(metric=LatencyMetric.END_TO_END, limit=2), "e2e", "p50 E2E ≤ 2 s"),
        (ThroughputFloor(limit=1_000_000), "throughput", "throughput ≥ 1,000,000 tokens/s"),
        (
            ThroughputFloor(limit=30, scope=Scope.REQUEST),
            "throughput",
            "throughput ≥ 30 tokens/s per request",
        ),
        (DiskLimit(limit=8_000_000_000), "disk", "size on disk ≤ 8 GB"),
        (SchemeFilter(words=("int4", "fp8")), "scheme", "scheme int4 or fp8"),
        (SchemeFilter(words=("gguf",), exclude=True), "scheme-excluded", "scheme not gguf"),
        (RuntimeFilter(name="vllm"), "runtime", "runtime vllm"),
        (FormatFilter(name="gguf"), "format", "format gguf"),
        (LicenseFilter(name="commercial"), "license", "license commercial"),
    ],
)
def test_constraints_have_a_key_and_a_sentence(constraint: Constraint, key: str, words: str):
    assert (constraint.key, constraint.describe()) == (key, words)


def test_bounds_know_which_way_they_are_loosened():
    upper = (LossLimit(limit=0.01), LatencyLimit(metric=TTFT, limit=1), DiskLimit(limit=1))
    assert {constraint.direction for constraint in upper} == {Direction.UP}
    assert ThroughputFloor(limit=1).direction is Direction.DOWN


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: LossLimit(limit=-0.01), "loss.limit"),
        (lambda: LossLimit(limit=1.01), "loss.limit"),
        (lambda: LossLimit(limit=101, kind=LossKind.ABSOLUTE), "loss.limit"),
        (lambda: LossLimit(limit=math.nan), "loss.limit"),
        (lambda: LossLimit(limit=0.01, confidence=0.5), "loss.confidence"),
        (lambda: LossLimit(limit=0.01, confidence=1), "loss.confidence"),
        (lambda: LatencyLimit(metric=TTFT, limit=math.inf), "ttft.limit"),
        (lambda: LatencyLimit(metric=TTFT, limit=1, quantile="p42"), "quantile"),
        (lambda: ThroughputFloor(limit=-1), "throughput.limit"),
        (lambda: DiskLimit(limit=-1), "disk.limit"),
        (lambda: SchemeFilter(words=()), "scheme.words"),
        (lambda: SchemeFilter(words=("int4", "")), "scheme.words"),
        (lambda: Hardware(count=0), "hardware.count"),
        (lambda: Hardware(count=1025), "hardware.count"),
        (lambda: Hardware(memory_bytes=0), "hardware.memory_bytes"),
        (lambda: Hardware(memory_bytes=2**60 + 1), "hardware.memory_bytes"),
        (lambda: Workload(input_tokens=0), "workload.input_tokens"),
        (lambda: Workload(output_tokens=10**9), "workload.output_tokens"),
        (lambda: Workload(concurrency=0), "workload.concurrency"),
        (lambda: ModelSelector(kind=SelectorKind.SIZE), "model.size_billions"),
        (lambda: ModelSelector(kind=SelectorKind.SIZE, size_billions=0), "model.size_billions"),
        (lambda: ModelSelector(kind=SelectorKind.SIZE, size_billions=1e9), "model.size_billions"),
        (lambda: ModelSelector(kind=SelectorKind.FAMILY), "model.value"),
        (lambda: ModelSelector(kind=SelectorKind.MODEL, value=""), "model.value"),
        (lambda: Scenario(risk=0), "risk"),
        (lambda: Scenario(risk=0.5), "risk"),
        (lambda: Scenario(constraints=(LossLimit(limit=0.01), LossLimit(limit=0.02))), "loss"),
    ],
)
def test_what_is_not_allowed_names_the_field(make: Any, field: str):
    with pytest.raises(InvalidInput) as caught:
        make()
    assert caught.value.details["field"] == field


def test_limits_on_different_tasks_stand_beside_each_other():
    scenario = Scenario(constraints=(LossLimit(limit=0.01), LossLimit(limit=0.02, task="mmlu")))
    assert [constraint.key for constraint in scenario.constraints] == ["loss", "loss:mmlu"]


SHAPE = Architecture(
    hidden_size=8, layers=1, heads=1, kv_heads=1, head_dim=8, intermediate_size=8, vocab_size=8
)


def model(model_id: str, family: str, size: float, parameters: float | None = None) -> Model:
    return Model(
        id=model_id,
        name=model_id,
        family=family,
        architecture=SHAPE,
        parameters=round((parameters or size) * 1e9),
        reference_format=NumberFormat.BF16,
        size_billions=size,
    )


QWEN = model("qwen2.5-7b", "Qwen2.5", 7, 7.615616512)
LLAMA = model("llama-3.1-8b", "Llama-3.1", 8, 8.030261248)


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        (ModelSelector(), [QWEN, LLAMA]),
        (ModelSelector(kind=SelectorKind.SIZE, size_billions=7), [QWEN]),
        (ModelSelector(kind=SelectorKind.SIZE, size_billions=7.6), [QWEN]),
        (ModelSelector(kind=SelectorKind.SIZE, size_billions=8), [LLAMA]),
        (ModelSelector(kind=SelectorKind.SIZE, size_billions=9), []),
        (ModelSelector(kind=SelectorKind.FAMILY, value="llama"), [LLAMA]),
        (ModelSelector(kind=SelectorKind.FAMILY, value="llama 3"), [LLAMA]),
        (ModelSelector(kind=SelectorKind.FAMILY, value="llama", size_billions=70), []),
        (ModelSelector(kind=SelectorKind.MODEL, value="qwen2.5-7b"), [QWEN]),
        (ModelSelector(kind=SelectorKind.MODEL, value="Qwen2.5-7B"), []),
    ],
)
def test_which_models_a_selector_means(selector: ModelSelector, chosen: list[Model]):
    assert [candidate for candidate in (QWEN, LLAMA) if selector.selects(candidate)] == chosen


def test_every_effective_constraint_is_echoed_with_its_origin():
    scenario = Scenario(
        model=ModelSelector(kind=SelectorKind.SIZE, size_billions=13),
        hardware=Hardware(memory_bytes=24 * 2**30, count=2),
        constraints=(LossLimit(limit=0.01),),
        origins={"model": Origin.ASKED, "hardware": Origin.ASKED, "loss": Origin.PRESET},
    )
    rows = {row.key: (row.sentence, row.origin) for row in scenario.effective()}
    assert rows == {
        "model": ("13B models", Origin.ASKED),
        "hardware": ("2 × 24 GiB nominal card", Origin.ASKED),
        "workload.input_tokens": ("1024 input tokens", Origin.DEFAULT),
        "workload.output_tokens": ("256 output tokens", Origin.DEFAULT),
        "workload.concurrency": ("concurrency 1", Origin.DEFAULT),
        "loss": ("relative loss ≤ 1 %", Origin.PRESET),
        "objective": ("objective most-accurate", Origin.DEFAULT),
        "risk": ("memory risk ≤ 1 %", Origin.DEFAULT),
    }


@pytest.mark.parametrize(
    ("hardware", "words"),
    [
        (Hardware(device_id="rtx-4090", count=2), "2 × rtx-4090"),
        (Hardware(device_id="rtx-4090", memory_bytes=20 * 2**30), "rtx-4090 with 20 GiB"),
        (Hardware(memory_bytes=32 * 2**30, kind=DeviceKind.CPU), "32 GiB of RAM on a CPU"),
        (Hardware(kind=DeviceKind.CPU), "cpu, memory not stated and not checked"),
    ],
)
def test_hardware_in_words(hardware: Hardware, words: str):
    assert hardware.describe() == words


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        (ModelSelector(), "any model"),
        (ModelSelector(kind=SelectorKind.FAMILY, value="Llama", size_billions=8), "Llama family, 8B"),
        (ModelSelector(kind=SelectorKind.MODEL, value="x"), "model x"),
    ],
)
def test_models_in_words(selector: ModelSelector, words: str):
    assert selector.describe() == words


def test_a_workload_holds_input_and_output():
    assert Workload(input_tokens=1000, output_tokens=24).context_tokens == 1024
    assert str(Workload()) == "1024 in, 256 out, concurrency 1"
    assert {objective.value for objective in Objective} >= {
        "most-accurate",
        "fastest",
        "smallest",
        "cheapest",
    }
