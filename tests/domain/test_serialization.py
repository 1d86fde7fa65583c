"""Every struct of the domain survives JSON: what is stored or sent is what comes back, unions included."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest

import planner.domain
from planner.domain.advice import (
    BuildAdvice,
    LossOdds,
    MeasurementAdvice,
    OpenFigure,
    Purpose,
    WorthBuilding,
    WorthMeasuring,
)
from planner.domain.alias import Alias, AliasAt, AliasMove
from planner.domain.architecture import Architecture, CacheGroup, Experts, LatentAttention
from planner.domain.comparison import (
    Compared,
    ComparedFact,
    ComparedFigure,
    Comparison,
    Difference,
    Relation,
)
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
from planner.domain.device import Device, DeviceKind, Peak
from planner.domain.evaluation import (
    Certification,
    Decision,
    Document,
    Evaluation,
    Fidelity,
    ItemOutcome,
    PairedCounts,
)
from planner.domain.explanation import EvidenceLink, Finding, Needed, Outranked
from planner.domain.figure import Basis, Figure, Interval, exact
from planner.domain.fleet import (
    Assignment,
    Demand,
    Fleet,
    FleetAnswer,
    FleetObjective,
    FleetRelaxation,
    NotPlaced,
    Placed,
    PoolUse,
    Unplaceable,
)
from planner.domain.inference import InferenceSettings, QuantizedCache, TopKAttention
from planner.domain.job import Attempt, Failure, FailureReason, Job, JobKind, JobState, Lease, Unmatched
from planner.domain.job_log import JobLog, LogChunk
from planner.domain.job_requirement import Requirement
from planner.domain.job_worker import Worker, WorkerRow, WorkerState
from planner.domain.lifecycle import LifecycleState, StateHistory, VariantState
from planner.domain.listing import Page, VariantFilter, VariantRow
from planner.domain.loss import LossKind, LossVerdict
from planner.domain.loss_basis import LossBasis
from planner.domain.model import Model
from planner.domain.outcome import (
    Candidate,
    Check,
    CostAnswer,
    Elimination,
    FrontierPoint,
    Infeasible,
    LatencyAnswer,
    LossAnswer,
    MemoryEstimate,
    Outcome,
    Placement,
    Plan,
    Recommended,
    Relaxation,
    Serving,
    Verdict,
)
from planner.domain.pin import Pin
from planner.domain.price import Price, PriceList
from planner.domain.profile import (
    Distribution,
    Environment,
    MemoryUse,
    NotMeasured,
    Profile,
    ProfilePoint,
    Stability,
)
from planner.domain.retention import (
    Keep,
    Reason,
    ReasonKind,
    RetentionDecision,
    RetentionPolicy,
    StoredVariant,
)
from planner.domain.runtime import Runtime
from planner.domain.scenario import (
    Effective,
    Hardware,
    ModelSelector,
    Objective,
    Origin,
    Preset,
    Scenario,
    SelectorKind,
)
from planner.domain.scheme import ActivationScaling, NumberFormat, Precision, Scheme
from planner.domain.speed_comparison import ProfileComparison, SpeedComparison, SpeedVerdict
from planner.domain.suggested_job import SuggestedJob
from planner.domain.sweep import Breakpoint, Scale, Sweep, SweepPoint
from planner.domain.training import (
    Recomputation,
    TrainingAnswer,
    TrainingChange,
    TrainingMemory,
    TrainingMethod,
    TrainingRequest,
    TrainingSetup,
)
from planner.domain.units import Unit
from planner.domain.variant import Artifact, FileFormat, Provenance, Variant
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from tests.domain import service_examples

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
INTERVAL = Interval(lo=-0.1, hi=1e-9, confidence=0.9)
FIGURE = Figure(
    value=0.1 + 0.2,
    unit=Unit.RATIO,
    basis=Basis.INTERPOLATED,
    interval=INTERVAL,
    evidence=("a", "b"),
    note="注意",
)
BYTES = exact(2**53, Unit.BYTES, basis=Basis.MEASURED)
EXPERTS = Experts(
    count=8,
    active=2,
    intermediate_size=3,
    shared_intermediate_size=4,
    shared_gate=True,
    dense_layers=1,
    correction_bias=True,
    bias=True,
)
MLA = LatentAttention(kv_lora_rank=1, rope_head_dim=2, nope_head_dim=3, value_head_dim=4, query_lora_rank=5)
CACHE = CacheGroup(layers=2, per_token=3, window=4, fixed=5, fixed_wide=6)
SHAPE = Architecture(
    hidden_size=8, layers=2, heads=2, kv_heads=1, head_dim=4, intermediate_size=16, vocab_size=32, tied_embeddings=True, sliding_window=4, sliding_layers=1,
    experts=EXPERTS, mla=MLA, caches=(CACHE,), model_type="deepseek_v3", max_context=4096,
)  # fmt: skip
PRECISION = Precision(format=NumberFormat.INT4, group_size=128, symmetric=False, scale_bits=32)
SCHEME = Scheme(
    weight=PRECISION, activation=Precision(format=NumberFormat.INT8), activation_scaling=ActivationScaling.STATIC, kv=Precision(format=NumberFormat.FP8),
    method="awq", label="q4_k_m", mixed=True,
)  # fmt: skip
ENVIRONMENT = Environment(
    device_name="H100",
    driver="550",
    versions={"torch": "2.9"},
    facts={"clock": 1980, "ecc": True, "note": None, "watts": 1.5},
)
DISTRIBUTION = Distribution(
    samples=200, mean=1.5, p50=1.0, p50_interval=INTERVAL, p90=2, p95=3, p99=4, stddev=0.1
)
MEMORY_USE = MemoryUse(
    weights_bytes=1, peak_allocated_bytes=2, peak_reserved_bytes=3, peak_device_bytes=4, peak_rss_bytes=5
)
WORKLOAD = Workload(input_tokens=7, output_tokens=8, concurrency=9)
SPEED = SpeedComparison(
    workload=WORKLOAD, metric="ttft", ratio=0.8, lo=0.75, hi=0.85, verdict=SpeedVerdict.FAST
)
NOT_MEASURED = NotMeasured(workload=WORKLOAD, reason="time_limit", detail="60 s had passed")
STABILITY = Stability(verdict="unstable", reason="TTFT is known to 4 %", discarded=3)
POINT = ProfilePoint(
    workload=WORKLOAD,
    ttft_seconds=DISTRIBUTION,
    output_tokens_per_second=DISTRIBUTION,
    error_share=0.25,
    memory=MEMORY_USE,
    stability=STABILITY,
    facts={"gpu_temperature_celsius": 61},
)
ARTIFACT = Artifact(path="模型/a.safetensors", size=2**60, sha256="0" * 64)
VARIANT = Variant(
    id="sha256:" + "0" * 64, model_id="m", name="v", scheme=SCHEME, file_format=FileFormat.SAFETENSORS, weight_bytes=BYTES, parameters=10**12, effective_bits=4.125,
    artifacts=(ARTIFACT,), provenance=Provenance(recipe="int4", versions={"torchao": "0.14"}, build_seconds=1.5), runtimes=("vllm",), created_at=NOW,
)  # fmt: skip
COUNTS = PairedCounts(both_right=1, only_baseline=2, only_variant=3, both_wrong=4)
DOCUMENT = Document(id="d", tokens=3, baseline_nll=1.5, variant_nll=1.75)
OUTCOME = ItemOutcome(id="o", baseline=1.0, variant=0.5, baseline_tokens=3, variant_tokens=2)
CERTIFICATION = Certification(
    limit=0.01, confidence=0.95, decision=Decision.UNDECIDED, items=5, available=9, lower=-0.1, upper=0.1,
    exact=True, method="m", more_items=7,
)  # fmt: skip
FIDELITY = Fidelity(kl_mean=FIGURE, top1_agreement=FIGURE)
CONSTRAINTS: tuple[Constraint, ...] = (
    LossLimit(limit=0.01, kind=LossKind.RELATIVE, task="mmlu", certified_only=True, confidence=0.99),
    LatencyLimit(metric=LatencyMetric.END_TO_END, limit=0.1 + 0.2, quantile="p99"),
    ThroughputFloor(limit=100, scope=Scope.REQUEST),
    DiskLimit(limit=2**53 + 1),
    SchemeFilter(words=("int4", "fp8"), exclude=True),
    RuntimeFilter(name="vllm"),
    FormatFilter(name="gguf"),
    LicenseFilter(name="apache"),
    CostLimit(limit=0.5, per=CostBasis.MILLION_TOKENS, currency="USD"),
)
SELECTOR = ModelSelector(kind=SelectorKind.FAMILY, value="Llama", size_billions=8)
HARDWARE = Hardware(device_id="d", count=2, memory_bytes=24 * 2**30, kind=DeviceKind.BOARD)
SCENARIO = Scenario(
    model=SELECTOR, hardware=HARDWARE, workload=WORKLOAD, constraints=CONSTRAINTS, objective=Objective.CHEAPEST, risk=0.001, preset="chat",
    origins={"model": Origin.ASKED, "loss:mmlu": Origin.PRESET},
)  # fmt: skip
ESTIMATE = MemoryEstimate(
    weights=BYTES,
    kv_cache=FIGURE,
    activations=FIGURE,
    overhead=FIGURE,
    total=BYTES,
    capacity=BYTES,
    fit_probability=0.99,
    devices=2,
)
CHECK = Check(key="loss", asked="≤ 1 %", verdict=Verdict.LIKELY, figure=FIGURE, detail="near")
LOSS_ANSWER = LossAnswer(
    figure=FIGURE,
    kind=LossKind.ABSOLUTE,
    tasks=("a",),
    metric="accuracy",
    items=5,
    verdict=LossVerdict.CERTIFIED,
    items_to_settle=7,
)
CANDIDATE = Candidate(
    variant_id="v", model_id="m", name="n", scheme="int4", memory=ESTIMATE, disk=BYTES, loss=LOSS_ANSWER, latency=LatencyAnswer(ttft=FIGURE, runtime="vllm"), checks=(CHECK,),
    fetchable=True,
)  # fmt: skip
PLACEMENT = Placement(
    tensor_parallel=4, pipeline_parallel=2, replicas=2, peak=BYTES, fit_probability=0.9, max_context=4096, max_concurrency=8, chosen=True,
)  # fmt: skip
SERVING = Serving(
    requests_per_second=20,
    replicas=6,
    available=8,
    utilization=0.75,
    headroom=0.8,
    wait_probability=0.04,
    mean_wait=FIGURE,
)
ELIMINATION = Elimination(
    variant_id="v", model_id="m", name="n", key="memory", reason="too large", figure=BYTES, margin=0.5
)
RELAXATION = Relaxation(
    key="loss", before="1 %", after="2 %", change=1.0, scenario=SCENARIO, variant_id="v", name="n"
)
FRONTIER = FrontierPoint(
    variant_id="v", name="n", memory_bytes=1.5, loss=0.01, tpot_seconds=0.02, chosen=True
)
RECOMMENDED = Recommended(
    chosen=CANDIDATE, reasons=("because",), alternatives=(CANDIDATE,), frontier=(FRONTIER,), eliminations=(ELIMINATION,), eliminated={"memory": 3}, warnings=("mind",)
)  # fmt: skip
INFEASIBLE = Infeasible(
    conflict=("loss", "memory"), relaxations=(RELAXATION,), nearest=(CANDIDATE,), eliminations=(ELIMINATION,), eliminated={"loss": 1}, warnings=()
)  # fmt: skip
EFFECTIVE = Effective(key="model", sentence="any model", origin=Origin.DEFAULT)
FAILURE = Failure(reason=FailureReason.OOM_DEVICE, message="out of memory", log_tail="…\n")
ATTEMPT = Attempt(
    number=1, worker="w", token=3, started_at=NOW, ended_at=NOW, progress=0.5, message="half", failure=FAILURE,
    device="device:h200-sxm", draining=True,
)  # fmt: skip
UNMATCHED = Unmatched(requirements=("vram>=24GiB",), message="no worker meets vram>=24GiB")
WORKER = Worker(
    name="w",
    capabilities=("cuda", "vram:23.5GiB"),
    kinds=(JobKind.BUILD,),
    first_seen_at=NOW,
    last_seen_at=NOW,
    draining=True,
)
JOB = Job(
    id="j", kind=JobKind.BUILD, spec={"recipe": {"bits": 4}, "list": [1, None]}, state=JobState.FAILED, requires=("cuda",), attempts=(ATTEMPT,), max_attempts=2,
    lease_expires_at=NOW, result={"ok": False}, created_at=NOW, parked_because="twice", forgiven=1, unmatched=UNMATCHED,
)  # fmt: skip
PRICE = Price(per_hour=0.71, currency="USD", date=date(2026, 10, 1), source="contract")
COST = CostAnswer(currency="USD", per_hour=FIGURE, per_million_tokens=FIGURE, price=PRICE)
DEMAND = Demand(name="chat", requests_per_second=0.5, query="13B")
FLEET = Fleet(
    pool={"l4": 2}, demands=(DEMAND,), objective=FleetObjective.CHEAPEST, cautious=True, prices={"l4": PRICE}
)
ASSIGNMENT = Assignment(
    demand="chat", device_id="l4", devices_per_replica=1, replicas=2, concurrency=4, requests_per_second=0.5, capacity=FIGURE,
    utilization=FIGURE, candidate=CANDIDATE,
)  # fmt: skip
POOL_USE = PoolUse(device_id="l4", total=2, used=2, left=0, binding=True, price=PRICE)
PLACED = Placed(
    assignments=(ASSIGNMENT,),
    pool=(POOL_USE,),
    devices=2,
    worst_utilization=0.5,
    cost_per_hour=1.42,
    currency="USD",
    warnings=("mind",),
)
UNPLACEABLE = Unplaceable(demand="chat", device_id="l4", conflict=("loss",), reason="too much")
FLEET_RELAXATION = FleetRelaxation(
    change="add 1 × l4", add={"l4": 1}, drop=("chat",), demand="chat", requests_per_second=0.1
)
NOT_PLACED = NotPlaced(unplaceable=(UNPLACEABLE,), relaxations=(FLEET_RELAXATION,))
SETUP = TrainingSetup(
    devices=2, micro_batch=1, recomputation=Recomputation.FULL, zero_stage=3, sequence=2048, accumulation=4
)
TRAINING_REQUEST = TrainingRequest(
    method=TrainingMethod.DISTILLATION, model=SELECTOR, hardware=HARDWARE, teacher=SELECTOR, zero_stage=3
)
TRAINING_MEMORY = TrainingMemory(
    weights=BYTES, gradients=BYTES, optimizer=BYTES, activations=BYTES, logits=BYTES, rounded_weights=BYTES, teacher=BYTES,
    step_workspace=BYTES, overhead=BYTES, total=BYTES, capacity=BYTES, fit_probability=0.5,
)  # fmt: skip
TRAINING_CHANGE = TrainingChange(change="use 3 devices", setup=SETUP, total=BYTES, fit_probability=0.99)
TRAINING = TrainingAnswer(
    request=TRAINING_REQUEST, method=TrainingMethod.DISTILLATION, model_id="m", parameters=7, teacher_id="t", hardware=HARDWARE, fits=False,
    setup=SETUP, memory=TRAINING_MEMORY, steps=5, operations=FIGURE, seconds=FIGURE, changes=(TRAINING_CHANGE,), notes=("n",),
)  # fmt: skip
PLANNING: tuple[msgspec.Struct, ...] = (
    PRICE, PriceList(prices={"l4": PRICE}), COST, DEMAND, FLEET, ASSIGNMENT, POOL_USE, PLACED, UNPLACEABLE, FLEET_RELAXATION, NOT_PLACED,
    FleetAnswer(fleet=FLEET, result=PLACED, revision=3, as_of=NOW, planner_version="1"), SETUP, TRAINING_REQUEST, TRAINING_MEMORY,
    TRAINING_CHANGE, TRAINING,
)  # fmt: skip

OPEN = OpenFigure(key="loss", why="not certified", figure=FIGURE)
SUGGESTED = SuggestedJob(kind=JobKind.MEASURE, spec={"kind": "measure"}, requires=("cuda",), note="n")
WORTH_MEASURING = WorthMeasuring(
    variant_id="v",
    model_id="m",
    name="n",
    open=(OPEN,),
    probability=0.5,
    assumed=("loss",),
    becomes="o",
    becomes_id="w",
    job=SUGGESTED,
)
ODDS = LossOdds(
    limit=0.01, within=3, models=4, probability=0.75, share=INTERVAL, match="scheme", median=0.004, lowest=0.0,
    highest=0.02, sources=("s",),
)  # fmt: skip
WORTH_BUILDING = WorthBuilding(
    model_id="m", model="M", recipe="int8_dynamic", settings={"symmetric": True}, scheme="int8-dynamic", name="n",
    purpose=Purpose.BETTER, odds=0.5, fit_probability=1.0, speed_probability=0.9, loss=ODDS, weights=FIGURE,
    total=FIGURE, tpot=FIGURE, capacity=FIGURE, job=SUGGESTED,
)  # fmt: skip
DIFFERENCE = Difference(relation=Relation.BETTER, figure=FIGURE, paired=True)
COMPARED_FIGURE = ComparedFigure(
    key="tpot",
    title="TPOT",
    unit=Unit.SECONDS,
    lower_is_better=True,
    figures=(FIGURE, None),
    differences=(DIFFERENCE,),
)
COMPARED, COMPARED_FACT = (
    Compared(name="a", variant_id="v"),
    ComparedFact(key="scheme", values=("int8", "int4")),
)
LINK = EvidenceLink(id="e", kind="profile", basis=Basis.MEASURED, route="/profiles/e")
FINDING = Finding(
    key="loss", asked="loss ≤ 1 %", origin=Origin.ASKED, effective="loss ≤ 1 %", verdict=Verdict.LIKELY, figure=FIGURE,
    margin=0.5, evidence=(LINK,),
)  # fmt: skip
SWEEP_POINT = SweepPoint(
    value=1e9, shown="1 GB", outcome="recommended", accepted=3, variant_id="v", name="n", memory=FIGURE
)
BREAKPOINT = Breakpoint(below=1.0, value=2.0, shown="2", before_id="v", before="n", after_id="w", after="o")
EXPLAINED: tuple[msgspec.Struct, ...] = (
    OPEN, SUGGESTED, WORTH_MEASURING, ODDS, WORTH_BUILDING, DIFFERENCE, COMPARED_FIGURE, COMPARED, COMPARED_FACT, LINK, FINDING,
    MeasurementAdvice(chosen_id="v", chosen="n", measurements=(WORTH_MEASURING,), considered=2, unmeasurable=("x",)),
    BuildAdvice(chosen_id="v", chosen="n", builds=(WORTH_BUILDING,), considered=2, ruled_out={"loss": 1}),
    Comparison(things=(COMPARED,), facts=(COMPARED_FACT,), figures=(COMPARED_FIGURE,), question="q", notes=("n",)),
    Outranked(variant_id="v", name="n", key="loss", own="1 %", theirs="0 %", place=2, of=3),
    Needed(key="memory", before="24 GiB", after="48 GiB", change=2.0),
    SWEEP_POINT, BREAKPOINT,
    Sweep(over="memory", title="memory", unit=Unit.BYTES, scale=Scale.LOG, points=(SWEEP_POINT,), breakpoints=(BREAKPOINT,), revision=1, exact=True),
    TopKAttention(k=32), QuantizedCache(format="int8", group_size=32),
    InferenceSettings(attention=TopKAttention(k=32), kv_cache=QuantizedCache(format="int4", group_size=64)),
)  # fmt: skip

YANKED = VariantState(
    variant_id="v",
    state=LifecycleState.YANKED,
    reason="wrong tokenizer",
    replacement_id="w",
    actor="me",
    changed_at=NOW,
    number=2,
)
MOVED = AliasMove(name="prod", number=2, variant_id=None, previous_variant_id="v", actor="me", moved_at=NOW)
KEEP, NEEDED = (
    Keep(last=3, younger_than_days=1.5, states=(LifecycleState.DEPRECATED,), names=("r*",)),
    Reason(kind=ReasonKind.PIN, detail="d"),
)
LIFECYCLE: tuple[msgspec.Struct, ...] = (
    YANKED, StateHistory(current=YANKED, history=(YANKED,)), MOVED, AliasAt(name="prod", at=NOW, variant_id=None, move=MOVED), Pin(id="p", variant_id="v", reason="r", actor="me", pinned_at=NOW),
    KEEP, RetentionPolicy(version=1, keep=KEEP, models=("llama-*",), alias_history_days=30.0), NEEDED,
    StoredVariant(id="v", model_id="m", name="n", scheme="int4", state=LifecycleState.ACTIVE, created_at=NOW, bytes=3, base_id="w", baseline_ids=("x",), is_baseline=True),
    RetentionDecision(variant_id="v", model_id="m", name="n", state=LifecycleState.YANKED, bytes=3, reasons=(NEEDED,)),
)  # fmt: skip

EXAMPLES: tuple[msgspec.Struct, ...] = (
    *LIFECYCLE,
    *PLANNING, *EXPLAINED, CACHE,
    PLACEMENT, SERVING, UNMATCHED, WORKER, WorkerRow(worker=WORKER, state=WorkerState.DRAINING, job_id="j"), Requirement(name="vram", comparison=">=", value="24GiB"),
    LogChunk(start=3, end=9, text="lines\n"), JobLog(job_id="j", attempt=2, offset=3, next_offset=9, text="lines\n", truncated=False, ended=True),
    FIGURE, INTERVAL, EXPERTS, MLA, SHAPE, PRECISION, SCHEME, ENVIRONMENT, DISTRIBUTION, MEMORY_USE, WORKLOAD, NOT_MEASURED, STABILITY, POINT, ARTIFACT, VARIANT, VARIANT.provenance, COUNTS,
    DOCUMENT, FIDELITY, *CONSTRAINTS, SELECTOR, HARDWARE, SCENARIO, ESTIMATE, CHECK, LOSS_ANSWER, CANDIDATE, CANDIDATE.latency, ELIMINATION, RELAXATION, FRONTIER,
    RECOMMENDED, INFEASIBLE, EFFECTIVE, FAILURE, ATTEMPT, JOB, Lease(job=JOB, token=3, expires_at=NOW, heartbeat_seconds=15.0),
    Runtime(name="vllm", version="0.9", mode="serving"), Peak(fp32=1.5, fp4=None),
    Device(id="d", name="D", kind=DeviceKind.CPU, vendor="V", memory_bytes=2**40, peak=Peak(bf16=1e15), aliases=("a",), citations=("c",)),
    Model(id="m", name="M", family="F", architecture=SHAPE, parameters=1, reference_format=NumberFormat.BF16, size_billions=13, hub_id="o/m", license="MIT"),
    Profile(
        id="p", variant_id="v", device_id="d", runtime=Runtime(name="vllm"), basis=Basis.MEASURED, points=(POINT,), not_measured=(NOT_MEASURED,), devices=2, environment=ENVIRONMENT, measured_at=NOW,
        synthetic_weights=True, doubt="odd",
    ),
    OUTCOME, CERTIFICATION,
    Evaluation(
        id="e", variant_id="v", task="mmlu", metric="accuracy", higher_is_better=True, basis=Basis.PUBLISHED, baseline_score=0.5, variant_score=0.4, relative_loss=FIGURE,
        absolute_loss=FIGURE, counts=COUNTS, documents=(DOCUMENT,), outcomes=(OUTCOME,), certification=CERTIFICATION, notes=("n",), chance=0.25, fidelity=FIDELITY, environment=ENVIRONMENT, measured_at=NOW,
    ),
    SPEED, ProfileComparison(points=(SPEED,), differences=("driver: 1, reference 2",), only_in_one=(WORKLOAD,)),
    LossBasis(figure=FIGURE, kind=LossKind.RELATIVE, tasks=("a", "b"), metric="accuracy", items=None),
    Preset(id="p", name="P", description="d", workload=WORKLOAD, constraints=CONSTRAINTS, objective=Objective.FASTEST, aliases=("聊天",), citations=("c",)),
    Plan(id="p", scenario=SCENARIO, understood=(EFFECTIVE,), result=INFEASIBLE, revision=3, as_of=NOW, planner_version="1", query="13B?"),
    Alias(name="prod", variant_id="v", number=2, actor="me", moved_at=NOW), AliasMove(name="prod", number=1, variant_id="v", actor="me", moved_at=NOW),
    VariantFilter(model="m", format=FileFormat.GGUF, fetchable=True, max_bits=4), VariantRow(variant=VARIANT, scheme="int4", loss=FIGURE, profile_count=2),
)  # fmt: skip


ALL = (*EXAMPLES, *service_examples.EXAMPLES)


def _structs() -> Iterator[type[msgspec.Struct]]:
    for module in pkgutil.iter_modules(planner.domain.__path__):
        for value in vars(importlib.import_module(f"planner.domain.{module.name}")).values():
            if (
                isinstance(value, type)
                and issubclass(value, msgspec.Struct)
                and value.__module__.startswith("planner.domain")
            ):
                yield value


def test_every_struct_of_the_domain_has_an_example():
    assert {struct.__name__ for struct in _structs()} - {type(example).__name__ for example in ALL} == {
        "Page"
    }


def test_every_struct_is_frozen_so_that_evidence_cannot_change():
    assert [struct.__name__ for struct in _structs() if not struct.__struct_config__.frozen] == []


@pytest.mark.parametrize("example", ALL, ids=lambda example: type(example).__name__)
def test_json_gives_back_the_same(example: msgspec.Struct):
    encoded = msgspec.json.encode(example)
    assert msgspec.json.decode(encoded, type=type(example)) == example
    assert msgspec.convert(msgspec.to_builtins(example), type=type(example)) == example
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(example), type=type(example)) == example


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda constraint: constraint.key)
def test_constraints_are_told_apart_by_their_type(constraint: Constraint):
    encoded = msgspec.json.encode(constraint)
    assert msgspec.json.decode(encoded)["type"] == constraint.key.partition(":")[0].replace(
        "e2e", "latency"
    ).replace("scheme-excluded", "scheme")
    assert msgspec.json.decode(encoded, type=Constraint) == constraint


@pytest.mark.parametrize("outcome", [RECOMMENDED, INFEASIBLE], ids=["recommended", "infeasible"])
def test_outcomes_are_told_apart(outcome: Outcome):
    encoded = msgspec.json.encode(outcome)
    name = "recommended" if isinstance(outcome, Recommended) else "infeasible"
    assert msgspec.json.decode(encoded)["outcome"] == name
    assert msgspec.json.decode(encoded, type=Outcome) == outcome


def test_a_page_of_any_struct():
    page = Page(items=(VARIANT, VARIANT), next_cursor="abc")
    assert msgspec.json.decode(msgspec.json.encode(page), type=Page[Variant]) == page


@pytest.mark.parametrize(
    ("document", "struct"),
    [
        ({"type": "loss", "limit": 0.01, "surprise": 1}, Constraint),
        ({"type": "power", "limit": 1}, Constraint),
        ({"limit": 0.01}, Constraint),
        ({"model": {"kind": "size", "size_billions": 13}, "surprise": 1}, Scenario),
        ({"outcome": "maybe"}, Outcome),
        ({"value": "1", "unit": "bytes", "basis": "measured"}, Figure),
        ({"value": 1, "unit": "furlongs", "basis": "measured"}, Figure),
    ],
)
def test_documents_that_do_not_fit_are_refused(document: dict[str, Any], struct: Any):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(document), type=struct)


@pytest.mark.parametrize(
    ("document", "struct", "field"),
    [
        ({"type": "loss", "limit": -1}, Constraint, "loss.limit"),
        ({"kind": "size"}, ModelSelector, "model.size_billions"),
        ({"path": "../x", "size": 1, "sha256": "0" * 64}, Artifact, "artifact.path"),
        ({"lo": 2, "hi": 1, "confidence": 0.9}, Interval, "interval"),
    ],
)
def test_values_that_are_not_allowed_name_the_field_also_from_json(
    document: dict[str, Any], struct: Any, field: str
):
    with pytest.raises(InvalidInput) as caught:
        msgspec.json.decode(msgspec.json.encode(document), type=struct)
    assert caught.value.details["field"] == field
