"""What is echoed means the same when it is asked: parse ∘ echo is the identity, origins apart."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.choose.language.echo import echo
from planner.choose.language.gathered import constraint_order
from planner.choose.language.parse import parse
from planner.choose.language.vocabulary import Vocabulary
from planner.domain.constraint import (
    Constraint,
    CostBasis,
    CostLimit,
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
from planner.domain.scenario import Hardware, ModelSelector, Objective, Origin, Scenario, SelectorKind
from planner.domain.workload import Workload
from tests.choose.language.conftest import BATCH, CHAT, CHEAP, DEVICES, MODELS, TASKS

VOCABULARY = Vocabulary.build(MODELS, DEVICES, (CHAT, BATCH, CHEAP), TASKS)

sizes = st.floats(0.001, 100_000).filter(lambda value: value > 0)
families = st.sampled_from(sorted({model.family for model in MODELS} | {"Llama", "Llama-3", "DeepSeek"}))
free_names = st.text(
    st.characters(whitelist_categories=("L", "N", "P", "S"), blacklist_characters='"'),
    min_size=1,
    max_size=20,
).filter(lambda name: name.isascii() or name.isalpha())


@st.composite
def selectors(draw: st.DrawFn) -> ModelSelector:
    kind = draw(st.sampled_from(SelectorKind))
    match kind:
        case SelectorKind.ANY:
            return ModelSelector()
        case SelectorKind.SIZE:
            return ModelSelector(kind=kind, size_billions=draw(sizes))
        case SelectorKind.MODEL:
            return ModelSelector(kind=kind, value=draw(st.sampled_from(MODELS)).id)
        case _:
            family = draw(families)
            whole = ModelSelector(kind=kind, value=family)
            known = sorted({model.size_billions for model in MODELS if whole.selects(model)})
            return ModelSelector(
                kind=kind, value=family, size_billions=draw(st.none() | st.sampled_from(known))
            )


@st.composite
def hardware(draw: st.DrawFn) -> Hardware | None:
    memory = draw(st.none() | st.integers(1, 2**60) | st.integers(1, 2000).map(lambda gib: gib * 2**30))
    count = draw(st.integers(1, 1024))
    if draw(st.booleans()):
        device = draw(st.sampled_from(DEVICES))
        return Hardware(device_id=device.id, count=count, memory_bytes=memory, kind=device.kind)
    return draw(
        st.none()
        | st.builds(
            Hardware, count=st.just(count), memory_bytes=st.just(memory), kind=st.sampled_from(DeviceKind)
        )
    )


ratios = st.floats(0, 1).map(abs)
seconds = st.floats(1e-9, 1e7)
words = st.one_of(
    st.sampled_from(
        ["int4", "4bit", "awq", "gguf", "q4_k_m", "int4-awq", "w8a8", "weight-only", "int8-dynamic", "fp16"]
    ),
    free_names,
)
constraints: st.SearchStrategy[Constraint] = st.one_of(
    st.builds(
        LossLimit,
        limit=ratios,
        task=st.none() | st.sampled_from(["mmlu", "perplexity", "mmlu-pro", "MMLU", "ppl"]) | free_names,
        certified_only=st.booleans(),
        confidence=st.sampled_from([0.95, 0.9, 0.99, 0.999]),
    ),
    st.builds(LossLimit, limit=st.floats(0, 100).map(abs), kind=st.just(LossKind.ABSOLUTE), certified_only=st.booleans()),
    st.builds(LatencyLimit, metric=st.sampled_from(LatencyMetric), limit=seconds, quantile=st.sampled_from(["mean", "p50", "p90", "p95", "p99"])),
    st.builds(ThroughputFloor, limit=st.floats(0, 1e9).map(abs), scope=st.sampled_from(Scope)),
    st.builds(
        CostLimit,
        limit=st.floats(0, 1e9).map(abs),
        per=st.sampled_from(CostBasis),
        currency=st.sampled_from([None, "USD", "EUR", "CNY", "CHF"]),
    ),
    st.builds(DiskLimit, limit=st.integers(1, 2**60)),
    st.builds(SchemeFilter, words=st.lists(words, min_size=1, max_size=3, unique=True).map(tuple), exclude=st.booleans()),
    st.builds(RuntimeFilter, name=st.sampled_from(["vllm", "llama.cpp", "transformers"]) | free_names),
    st.builds(FormatFilter, name=st.sampled_from(["gguf", "safetensors"])),
    st.builds(LicenseFilter, name=st.sampled_from(["apache", "mit", "commercial"]) | free_names),
)  # fmt: skip


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    found = draw(st.lists(constraints, max_size=6))
    unique = {constraint.key: constraint for constraint in found}
    return Scenario(
        model=draw(selectors()),
        hardware=draw(hardware()),
        workload=draw(
            st.builds(
                Workload,
                input_tokens=st.integers(1, 100_000_000),
                output_tokens=st.integers(1, 100_000_000),
                concurrency=st.integers(1, 1_000_000),
            )
        ),
        constraints=tuple(unique[key] for key in sorted(unique, key=constraint_order)),
        objective=draw(st.sampled_from(Objective)),
        risk=draw(st.floats(1e-12, 0.4999)),
        preset=draw(st.none() | st.sampled_from(["realtime-chat", "offline-batch", "low-cost"])),
    )


def bare(scenario: Scenario) -> Scenario:
    return msgspec.structs.replace(scenario, origins={})


@given(scenario=scenarios())
@settings(max_examples=100, deadline=None)
def test_parsing_what_is_echoed_gives_the_same_scenario(scenario: Scenario):
    text = echo(scenario, VOCABULARY)
    again = parse(text, VOCABULARY)
    assert bare(again) == bare(scenario), text
    assert echo(again, VOCABULARY) == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (
            "13B on 24GB, ≤1% loss",
            "13B, 24 GiB, 1024 in, 256 out, concurrency 1, relative loss ≤ 1%, most accurate, memory risk ≤ 1%",
        ),
        (
            "24GB显存跑13B,精度损失不超过1%",
            "13B, 24 GiB, 1024 in, 256 out, concurrency 1, relative loss ≤ 1%, most accurate, memory risk ≤ 1%",
        ),
        (
            "chat on 2x4090, no ttft limit, certified, TPOT p99 < 30ms",
            (
                "any model, 2 x rtx-4090, preset realtime-chat, 512 in, 128 out, concurrency 8, relative loss ≤ 2% certified, "
                "absolute loss on mmlu ≤ 1.5 points certified, p99 TPOT ≤ 30ms, no ttft limit, fastest, memory risk ≤ 1%"
            ),
        ),
        (
            "batch, no excluded scheme limit, no format limit, 30 tok/s per user, under 2.5GB on disk",
            (
                "any model, any hardware, preset offline-batch, 2048 in, 512 out, concurrency 64, throughput ≥ 30 tok/s per request, "
                "size on disk ≤ 2.5GB, no excluded scheme limit, no format limit, highest throughput, memory risk ≤ 1%"
            ),
        ),
    ],
)
def test_canonical_text(text: str, canonical: str):
    assert echo(parse(text, VOCABULARY), VOCABULARY) == canonical
    assert echo(parse(canonical, VOCABULARY), VOCABULARY) == canonical


def test_preset_fills_what_is_not_asked():
    scenario = parse("chat, loss ≤ 1%, 4 users", VOCABULARY)
    assert scenario.preset == "realtime-chat"
    assert scenario.workload == Workload(input_tokens=512, output_tokens=128, concurrency=4)
    assert scenario.objective is Objective.FASTEST
    assert {constraint.key for constraint in scenario.constraints} == {"loss", "loss:mmlu", "ttft"}
    expected = {
        "loss": Origin.ASKED,
        "loss:mmlu": Origin.PRESET,
        "ttft": Origin.PRESET,
        "objective": Origin.PRESET,
        "workload.input_tokens": Origin.PRESET,
        "workload.concurrency": Origin.ASKED,
        "risk": Origin.DEFAULT,
        "model": Origin.DEFAULT,
        "hardware": Origin.DEFAULT,
    }
    assert {key: scenario.origin(key) for key in expected} == expected


def test_certified_reaches_a_presets_limits_and_is_then_asked():
    scenario = parse("chat, certified, 99% confidence", VOCABULARY)
    limits = [constraint for constraint in scenario.constraints if isinstance(constraint, LossLimit)]
    assert [(limit.certified_only, limit.confidence) for limit in limits] == [(True, 0.99), (True, 0.99)]
    assert scenario.origin("loss") is Origin.ASKED


@pytest.mark.parametrize(
    ("text", "objective"),
    [
        ("13B on 24GB", Objective.MOST_ACCURATE),
        ("13B on 24GB, ≤1% loss", Objective.MOST_ACCURATE),
        ("13B, ≤1% loss", Objective.SMALLEST),
        ("13B", Objective.MOST_ACCURATE),
        ("low-cost", Objective.CHEAPEST),
        ("low-cost, fastest", Objective.FASTEST),
    ],
)
def test_default_objective_is_what_the_question_leaves_unbounded(text: str, objective: Objective):
    assert parse(text, VOCABULARY).objective is objective
