from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from planner.catalogue.load import load_catalogue
from planner.choose.index import Index
from planner.choose.language.parse import parse
from planner.choose.planner import make_plan, plan, why
from planner.domain.constraint import (
    Constraint,
    DiskLimit,
    LatencyLimit,
    LatencyMetric,
    LossLimit,
    RuntimeFilter,
    SchemeFilter,
    Scope,
    ThroughputFloor,
)
from planner.domain.evaluation import Evaluation
from planner.domain.figure import Basis
from planner.domain.outcome import Check, Infeasible, Outcome, Plan, Recommended, Verdict
from planner.domain.profile import Profile
from planner.domain.scenario import Hardware, ModelSelector, Objective, Scenario, SelectorKind
from planner.domain.units import GIB
from planner.domain.variant import Variant
from planner.domain.workload import Workload
from planner.errors import NotFound
from tests.choose.records import BOARD, GPU, MODELS, NOW, Records, evaluation, profile, variant

LLAMA_13B, LLAMA_8B, MISTRAL = MODELS[:3]
BASE, INT8, INT4 = (variant(LLAMA_13B, scheme) for scheme in ("bf16", "int8", "int4-g128"))
LOAD = Workload()
ON_24GB = Hardware(memory_bytes=24 * GIB)
ON_GPU = Hardware(device_id=GPU.id)


def index(
    *variants: Variant, evaluations: tuple[Evaluation, ...] = (), profiles: tuple[Profile, ...] = ()
) -> Index:
    return Records(MODELS, variants or (BASE, INT8, INT4), evaluations, profiles).index()


def ask(
    *constraints: Constraint,
    hardware: Hardware | None = ON_24GB,
    model: ModelSelector | None = None,
    load: Workload = LOAD,
    objective: Objective = Objective.MOST_ACCURATE,
) -> Scenario:
    return Scenario(
        model=model or ModelSelector(),
        hardware=hardware,
        workload=load,
        constraints=constraints,
        objective=objective,
    )


def recommended(outcome: Outcome) -> Recommended:
    assert isinstance(outcome, Recommended)
    return outcome


def infeasible(outcome: Outcome) -> Infeasible:
    assert isinstance(outcome, Infeasible)
    return outcome


def check(outcome: Outcome, key: str) -> Check:
    return next(check for check in recommended(outcome).chosen.checks if check.key == key)


def test_13b_on_24gb_with_at_most_one_percent_loss() -> None:
    evidence = (evaluation(INT8, 0.002, half=0.003), evaluation(INT4, 0.02, half=0.01))
    outcome = recommended(plan(ask(LossLimit(limit=0.01)), index(evaluations=evidence)))
    assert outcome.chosen.variant_id == INT8.id
    assert outcome.chosen.loss is not None
    assert outcome.chosen.loss.verdict == "certified"
    assert dict(outcome.eliminated) == {"memory": 1, "loss": 1}
    reasons = {elimination.variant_id: elimination for elimination in outcome.eliminations}
    assert reasons[BASE.id].key == "memory"
    assert "usable" in reasons[BASE.id].reason
    assert reasons[INT4.id].margin == pytest.approx(1.0)
    assert any("assumed" in warning for warning in outcome.warnings)


def test_certified_comes_before_likely_even_when_it_loses_more() -> None:
    evidence = (evaluation(INT8, 0.001, half=0.02), evaluation(INT4, 0.005, half=0.001))
    outcome = recommended(plan(ask(LossLimit(limit=0.01)), index(evaluations=evidence)))
    assert outcome.chosen.variant_id == INT4.id
    assert [candidate.variant_id for candidate in outcome.alternatives] == [INT8.id]
    assert "likely" in outcome.eliminations[0].reason


def test_only_likely_is_said_with_the_items_that_would_settle_it() -> None:
    outcome = recommended(
        plan(ask(LossLimit(limit=0.01)), index(evaluations=(evaluation(INT8, 0.005, half=0.01),)))
    )
    assert outcome.chosen.loss is not None
    assert outcome.chosen.loss.verdict == "likely"
    assert outcome.chosen.loss.items_to_settle == pytest.approx(3000, abs=1)
    assert any(warning.startswith("Only likely") and "more items" in warning for warning in outcome.warnings)


def test_certified_only_refuses_likely_and_says_how_to_relax() -> None:
    scenario = ask(LossLimit(limit=0.01, certified_only=True))
    outcome = infeasible(plan(scenario, index(evaluations=(evaluation(INT8, 0.005, half=0.01),))))
    assert outcome.conflict == ("memory", "loss")
    assert {relaxation.key for relaxation in outcome.relaxations} >= {"loss", "loss:certified", "memory"}
    loose = next(relaxation for relaxation in outcome.relaxations if relaxation.key == "loss")
    assert "1.5 %" in loose.after
    assert any("not certified" in elimination.reason for elimination in outcome.eliminations)


def test_unknown_loss_is_not_acceptable_under_a_limit() -> None:
    outcome = infeasible(plan(ask(LossLimit(limit=0.5)), index(INT8)))
    assert outcome.eliminations[0].reason == "no loss evidence: measure it"
    assert [relaxation.after for relaxation in outcome.relaxations] == ["not limited"]


def test_without_a_limit_unknown_loss_comes_last_and_more_bits_first() -> None:
    outcome = recommended(plan(ask(), index(evaluations=(evaluation(INT4, 0.05),))))
    assert outcome.chosen.variant_id == INT4.id
    silent = recommended(plan(ask(), index()))
    assert silent.chosen.variant_id == INT8.id
    assert any("loss is not known" in warning for warning in silent.warnings)


def test_a_baseline_is_certified_by_definition() -> None:
    outcome = plan(ask(LossLimit(limit=0.0), hardware=Hardware(memory_bytes=48 * GIB)), index())
    assert recommended(outcome).chosen.variant_id == BASE.id
    assert check(outcome, "loss").verdict is Verdict.CERTIFIED
    assert any("by definition" in reason for reason in recommended(outcome).reasons)


def test_several_base_models_are_warned_of_and_ties_go_to_the_larger() -> None:
    bases = tuple(variant(model, "bf16") for model in MODELS)
    outcome = recommended(plan(ask(hardware=Hardware(memory_bytes=80 * GIB)), index(*bases)))
    assert outcome.chosen.model_id == "qwen3-30b-a3b"
    assert any("does not compare" in warning for warning in outcome.warnings)


def test_memory_is_not_checked_without_hardware_and_that_is_said() -> None:
    outcome = recommended(plan(ask(hardware=None), index()))
    assert outcome.chosen.variant_id == BASE.id
    assert outcome.chosen.memory.capacity is None
    assert any("not checked" in warning for warning in outcome.warnings)


def test_a_recorded_peak_decides_instead_of_the_model() -> None:
    small = profile(BASE, GPU, {LOAD: (0.5, 0.05)}, peak_bytes=20 * GIB)
    outcome = plan(ask(hardware=ON_GPU), index(profiles=(small,)))
    assert recommended(outcome).chosen.variant_id == BASE.id
    assert recommended(outcome).chosen.memory.total.basis is Basis.MEASURED
    assert check(outcome, "memory").figure is not None
    large = profile(INT8, GPU, {LOAD: (0.5, 0.05)}, peak_bytes=30 * GIB)
    assert recommended(plan(ask(hardware=ON_GPU), index(profiles=(large,)))).chosen.variant_id == INT4.id


def test_a_peak_at_another_workload_is_shifted() -> None:
    near = {Workload(input_tokens=512): (0.5, 0.05), Workload(input_tokens=2048): (0.9, 0.05)}
    recorded = profile(INT8, GPU, near, peak_bytes=14 * GIB)
    total = recommended(plan(ask(hardware=ON_GPU), index(INT8, profiles=(recorded,)))).chosen.memory.total
    assert total.basis is Basis.INTERPOLATED
    assert total.evidence == (recorded.id,)
    assert total.note is not None
    assert "shifted" in total.note
    assert abs(total.value - 14 * GIB) < GIB


@pytest.mark.parametrize("runtime", ["vllm", "sglang"])
def test_peaks_of_runtimes_that_fill_the_device_say_nothing(runtime: str) -> None:
    recorded = profile(INT8, GPU, {LOAD: (0.5, 0.05)}, peak_bytes=23 * GIB, runtime=runtime)
    outcome = recommended(plan(ask(hardware=ON_GPU), index(INT8, profiles=(recorded,))))
    assert outcome.chosen.memory.total.basis is Basis.MODELLED


def test_published_memory_that_cannot_be_a_peak_is_left_out() -> None:
    bare = profile(INT8, GPU, {LOAD: (0.5, 0.05)}, peak_bytes=round(13.4 * GIB), basis=Basis.PUBLISHED)
    outcome = recommended(plan(ask(hardware=ON_GPU), index(INT8, profiles=(bare,))))
    assert outcome.chosen.memory.total.basis is Basis.MODELLED
    whole = profile(INT8, GPU, {LOAD: (0.5, 0.05)}, peak_bytes=round(14.4 * GIB), basis=Basis.PUBLISHED)
    outcome = recommended(plan(ask(hardware=ON_GPU), index(INT8, profiles=(whole,))))
    assert outcome.chosen.memory.total.basis is Basis.PUBLISHED


def test_tensor_parallelism_splits_the_weights_and_says_what_it_uses() -> None:
    outcome = recommended(plan(ask(hardware=Hardware(memory_bytes=24 * GIB, count=3)), index()))
    assert outcome.chosen.variant_id == BASE.id
    assert outcome.chosen.memory.devices == 2
    assert any("2 of 3 devices" in warning for warning in outcome.warnings)


def test_measured_latency_is_met_and_modelled_is_only_likely() -> None:
    limit = LatencyLimit(metric=LatencyMetric.TPOT, limit=0.04)
    fast = profile(INT8, GPU, {LOAD: (0.2, 0.02)})
    measured = plan(ask(limit, hardware=ON_GPU), index(INT8, profiles=(fast,)))
    assert check(measured, "tpot").verdict is Verdict.MET
    assert check(plan(ask(limit, hardware=ON_GPU), index(INT8)), "tpot").verdict is Verdict.LIKELY
    published = profile(INT8, GPU, {LOAD: (0.2, 0.02)}, basis=Basis.PUBLISHED)
    assert (
        check(plan(ask(limit, hardware=ON_GPU), index(INT8, profiles=(published,))), "tpot").verdict
        is Verdict.LIKELY
    )


def test_stale_measurements_are_only_likely() -> None:
    limit = LatencyLimit(metric=LatencyMetric.TPOT, limit=0.04)
    records = index(INT8, profiles=(profile(INT8, GPU, {LOAD: (0.2, 0.02)}),))
    old = plan(ask(limit, hardware=ON_GPU), records, now=NOW + timedelta(days=400))
    assert check(old, "tpot").verdict is Verdict.LIKELY
    assert any("stale" in warning for warning in recommended(old).warnings)
    assert check(plan(ask(limit, hardware=ON_GPU), records, now=NOW), "tpot").verdict is Verdict.MET


def test_a_percentile_without_a_distribution_is_unknown_with_the_reason() -> None:
    limit = LatencyLimit(metric=LatencyMetric.TTFT, limit=1.0, quantile="p95")
    records = index(INT8, profiles=(profile(INT8, GPU, {LOAD: (0.2, 0.02)}),))
    outcome = infeasible(plan(ask(limit, hardware=ON_GPU), records))
    assert "p95" in outcome.eliminations[0].reason
    assert [relaxation.after for relaxation in outcome.relaxations] == ["p50 TTFT ≤ 1 s"]
    known = index(INT8, profiles=(profile(INT8, GPU, {LOAD: (0.2, 0.02)}, quantile="p95"),))
    assert check(plan(ask(limit, hardware=ON_GPU), known), "ttft").verdict is Verdict.MET


def test_speed_without_a_device_asks_for_one() -> None:
    outcome = infeasible(plan(ask(LatencyLimit(metric=LatencyMetric.TPOT, limit=1.0)), index()))
    assert any("name one" in elimination.reason for elimination in outcome.eliminations)


def test_throughput_counts_one_request_or_all() -> None:
    crowd = Workload(input_tokens=64, output_tokens=64, concurrency=8)
    measured = profile(INT8, GPU, {crowd: (0.1, 0.01)})
    for floor, verdict in (
        (ThroughputFloor(limit=500), Verdict.LIKELY),
        (ThroughputFloor(limit=80, scope=Scope.REQUEST), Verdict.LIKELY),
        (ThroughputFloor(limit=0), Verdict.LIKELY),
    ):
        outcome = plan(ask(floor, hardware=ON_GPU, load=crowd), index(INT8, profiles=(measured,)))
        assert check(outcome, "throughput").verdict is verdict
    slow = ThroughputFloor(limit=900, scope=Scope.AGGREGATE)
    relaxed = infeasible(plan(ask(slow, hardware=ON_GPU, load=crowd), index(INT8, profiles=(measured,))))
    assert relaxed.relaxations[0].key == "throughput"


@pytest.mark.parametrize(
    ("objective", "winner"),
    [
        (Objective.MOST_ACCURATE, INT8),
        (Objective.SMALLEST, INT4),
        (Objective.CHEAPEST, INT4),
        (Objective.FASTEST, INT4),
        (Objective.HIGHEST_THROUGHPUT, INT4),
    ],
)
@pytest.mark.parametrize("hardware", [ON_24GB, ON_GPU])
def test_objectives(objective: Objective, winner: Variant, hardware: Hardware) -> None:
    evidence = (evaluation(INT8, 0.001), evaluation(INT4, 0.01))
    outcome = recommended(plan(ask(hardware=hardware, objective=objective), index(evaluations=evidence)))
    assert outcome.chosen.variant_id == winner.id
    assert outcome.eliminations[0].key == "objective"


def test_the_frontier_holds_the_trade_off_and_marks_the_chosen() -> None:
    evidence = (evaluation(INT8, 0.001), evaluation(INT4, 0.01))
    outcome = recommended(plan(ask(hardware=ON_GPU), index(evaluations=evidence)))
    assert [(point.variant_id, point.chosen) for point in outcome.frontier] == [
        (INT4.id, False),
        (INT8.id, True),
    ]


def test_disk_counts_files_or_weights_alone() -> None:
    far = variant(LLAMA_13B, "int8", held=False)
    limit = DiskLimit(limit=14 * 10**9)
    assert check(plan(ask(limit), index(INT8)), "disk").verdict is Verdict.MET
    outcome = plan(ask(limit), index(far))
    assert check(outcome, "disk").verdict is Verdict.LIKELY
    assert any("not held here" in warning for warning in recommended(outcome).warnings)


def test_a_held_variant_wins_a_tie_over_a_published_one() -> None:
    far = msgspec.structs.replace(INT8, id="published:llama-2-13b/a", artifacts=())
    outcome = recommended(plan(ask(), index(INT8, far)))
    assert outcome.chosen.variant_id == INT8.id
    assert "held" in outcome.eliminations[0].reason


def test_context_beyond_the_model_is_rejected_and_relaxed() -> None:
    outcome = infeasible(plan(ask(load=Workload(input_tokens=8000)), index(INT8)))
    assert outcome.conflict == ("context",)
    assert outcome.relaxations[0].key == "workload.input_tokens"
    assert outcome.relaxations[0].scenario.workload.input_tokens == 3500


def test_a_size_class_without_models_is_answered_with_the_nearest() -> None:
    scenario = ask(model=ModelSelector(kind=SelectorKind.SIZE, size_billions=70))
    outcome = infeasible(plan(scenario, index(*(variant(model, "int4-g128") for model in MODELS))))
    assert outcome.conflict == ("model",)
    assert outcome.relaxations[0].after == "30B models"
    assert dict(outcome.eliminated) == {"model": 5}


def test_too_little_memory_offers_memory_devices_and_smaller_models() -> None:
    scenario = ask(
        hardware=Hardware(memory_bytes=6 * GIB), model=ModelSelector(kind=SelectorKind.SIZE, size_billions=13)
    )
    outcome = infeasible(plan(scenario, index(INT4, variant(LLAMA_8B, "int4-g128"))))
    keys = {relaxation.key: relaxation for relaxation in outcome.relaxations}
    assert set(keys) == {"memory", "devices"}
    assert outcome.nearest[0].variant_id == INT4.id
    roomy = infeasible(
        plan(
            msgspec.structs.replace(scenario, hardware=Hardware(memory_bytes=8 * GIB)),
            index(INT4, variant(LLAMA_8B, "int4-g128")),
        )
    )
    assert "model" in {relaxation.key for relaxation in roomy.relaxations}


def test_a_dropped_category_is_a_relaxation() -> None:
    outcome = infeasible(plan(ask(SchemeFilter(words=("nf4",))), index()))
    assert [(r.key, r.after) for r in outcome.relaxations] == [("scheme", "not limited")]


def test_when_no_single_relaxation_helps_the_nearest_joint_one_is_offered() -> None:
    scenario = ask(RuntimeFilter(name="llama.cpp"), LossLimit(limit=0.001))
    outcome = infeasible(plan(scenario, index(INT8, evaluations=(evaluation(INT8, 0.02),))))
    (joint,) = outcome.relaxations
    assert joint.key == "runtime+loss"
    assert joint.variant_id == INT8.id


def test_why_not_a_variant_of_another_model() -> None:
    other = variant(MISTRAL, "int8")
    scenario = ask(model=ModelSelector(kind=SelectorKind.MODEL, value=LLAMA_13B.id))
    candidate, elimination = why(scenario, index(INT8, other), other.name)
    assert elimination is not None
    assert elimination.key == "model"
    assert candidate.checks[0].verdict is Verdict.VIOLATED


def test_unknown_names_are_errors_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="gpu-24"):
        plan(ask(hardware=Hardware(device_id="gpu-2")), index())
    with pytest.raises(NotFound, match="llama-2-13b"):
        plan(ask(model=ModelSelector(kind=SelectorKind.MODEL, value="llama-2-13")), index())
    with pytest.raises(NotFound):
        why(ask(), index(), "nothing")


def test_an_empty_index_answers_infeasible() -> None:
    outcome = infeasible(plan(ask(LossLimit(limit=0.01)), Records((), (), (), ()).index()))
    assert (outcome.relaxations, outcome.nearest, dict(outcome.eliminated)) == ((), (), {})


def test_a_board_without_known_bandwidth_still_gets_an_answer() -> None:
    outcome = recommended(
        plan(ask(hardware=Hardware(device_id=BOARD.id)), index(variant(LLAMA_8B, "q4_k_m")))
    )
    assert outcome.chosen.latency.tpot is None
    assert outcome.chosen.memory.capacity is not None


def test_a_plan_replays_to_the_same_answer() -> None:
    scenario = ask(LossLimit(limit=0.01), hardware=ON_GPU)
    evidence = (evaluation(INT8, 0.002, half=0.003),)
    records = index(evaluations=evidence, profiles=(profile(INT8, GPU, {LOAD: (0.2, 0.02)}),))
    stored = make_plan(scenario, records, plan_id="plan-1", now=NOW, version="1.0", query="13B on my GPU")
    decoded = msgspec.json.decode(msgspec.json.encode(stored), type=Plan)
    again = make_plan(
        decoded.scenario, records, plan_id="plan-1", now=decoded.as_of, version="1.0", query=decoded.query
    )
    assert again == stored == decoded
    assert stored.revision == records.revision
    assert [row.key for row in stored.understood][:2] == ["model", "hardware"]


@pytest.mark.parametrize(
    "words",
    [
        "smallest 8b on 24gb, ≤1% loss",
        "cheapest 8b on 24gb, ≤1% loss",
        "llama 3.1 8b on 4090, loss ≤ 1%, fastest",
    ],
)
def test_a_baseline_does_not_win_by_definition_alone(words: str) -> None:
    catalogue = load_catalogue()
    index = Index.build(
        models=catalogue.models, variants=catalogue.variants, evaluations=catalogue.evaluations,
        profiles=catalogue.profiles, devices=catalogue.devices, presets=catalogue.presets,
    )  # fmt: skip
    chosen = recommended(plan(parse(words, index.vocabulary), index)).chosen
    assert index.variants[chosen.variant_id].scheme.nominal_bits < 16
    assert chosen.loss is not None
    assert chosen.loss.figure.value <= 0.01
