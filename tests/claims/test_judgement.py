from __future__ import annotations

import msgspec
import pytest

from planner.catalogue import load_catalogue
from planner.claims.evidence import Evidence, Which
from planner.claims.judgement import Claim, Part, Statistic, Verdict, combined, judge_all
from planner.claims.queries import (
    BatchingGain,
    BuildFact,
    Loss,
    LossDifference,
    ParameterBytes,
    RuntimeGain,
    Speedup,
    SplitGain,
    WeightBytes,
)
from planner.claims.statements import CLAIMS
from planner.domain.device import Device
from planner.domain.evaluation import Evaluation
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.model import Model
from planner.domain.profile import Distribution, Profile, ProfilePoint
from planner.domain.runtime import Runtime
from planner.domain.units import Unit
from planner.domain.variant import Provenance, Variant
from planner.domain.workload import Workload
from tests.choose.records import GPU, MODELS, variant

MODEL = MODELS[0]
BASE, INT8, INT4 = (variant(MODEL, scheme) for scheme in ("bf16", "int8", "int4-g128"))
SPARSE = msgspec.structs.replace(
    variant(MODEL, "bf16", salt=1), scheme=msgspec.structs.replace(BASE.scheme, attention="topk-32")
)
BUILT = msgspec.structs.replace(
    INT4, provenance=Provenance(recipe="qat", facts={"checkpointing.memory_saved_share": 0.37})
)


class Held(msgspec.Struct, frozen=True, kw_only=True):
    models: tuple[Model, ...] = MODELS
    variants: tuple[Variant, ...] = (BASE, INT8, INT4, SPARSE)
    evaluations: tuple[Evaluation, ...] = ()
    profiles: tuple[Profile, ...] = ()
    devices: tuple[Device, ...] = (GPU,)


def profile(
    of, seconds, *, requests=1, devices=1, runtime="transformers", mode="compiled", doubt=None, source="s"
):
    points = tuple(
        ProfilePoint(
            workload=Workload(input_tokens=512, output_tokens=32, concurrency=each),
            tpot_seconds=Distribution(samples=5, mean=seconds, p50=seconds),
        )
        for each in ((requests,) if isinstance(requests, int) else requests)
    )
    return Profile(
        id=f"{of.name}/{seconds}/{devices}/{runtime}/{mode}/{source}/{doubt}",
        variant_id=of.id,
        device_id=GPU.id,
        runtime=Runtime(name=runtime, version="1", mode=mode),
        basis=Basis.MEASURED,
        points=points,
        devices=devices,
        doubt=doubt,
        citation=source,
    )


def evaluation(of, loss, *, task="mmlu", metric="accuracy", doubt=None, source="s", half=None):
    interval = None if half is None else Interval(lo=loss - half, hi=loss + half, confidence=0.9)
    return Evaluation(
        id=f"{of.name}/{task}/{source}",
        variant_id=of.id,
        task=task,
        metric=metric,
        higher_is_better=metric != "perplexity",
        basis=Basis.MEASURED,
        baseline_score=0.5,
        variant_score=0.5,
        relative_loss=Figure(value=loss, unit=Unit.RATIO, basis=Basis.MEASURED, interval=interval),
        doubt=doubt,
        citation=source,
    )


def values(query, **held):
    return [pytest.approx(row.value) for row in query.rows(Evidence(Held(**held)))]


def test_speeds_are_compared_only_within_a_source_a_runtime_and_a_workload():
    query = Speedup(which=Which(models=(MODEL.id,), bits=(8,)))
    base, fast = profile(BASE, 0.010), profile(INT8, 0.004)
    assert values(query, profiles=(base, fast)) == [2.5]
    assert values(msgspec.structs.replace(query, as_cut=True), profiles=(base, fast)) == [60.0]
    for other in (
        profile(INT8, 0.004, source="another"),
        profile(INT8, 0.004, mode="eager"),
        profile(INT8, 0.004, requests=2),
        profile(INT8, 0.004, devices=2),
        profile(INT8, 0.004, doubt="throttled"),
    ):
        assert values(query, profiles=(base, other)) == []
    named = profile(INT8, 0.004, doubt='the source says only "H100": taken as NVIDIA H100 80GB SXM')
    assert values(query, profiles=(base, named)) == [2.5]
    twice = profile(INT8, 0.004, doubt='the source says only "H100": taken as NVIDIA H100; irregular profile')
    assert values(query, profiles=(base, twice)) == []


def test_sparse_attention_is_compared_with_the_models_own():
    query = Speedup(which=Which(attention=True))
    assert values(query, profiles=(profile(BASE, 0.018), profile(SPARSE, 0.010))) == [1.8]


def test_runtimes_batches_and_cards_are_compared_on_the_same_variant():
    slow, fast = profile(BASE, 0.020), profile(BASE, 0.005, runtime="vllm")
    assert values(RuntimeGain(which=Which(), than="transformers"), profiles=(slow, fast)) == [4.0]
    batched = profile(BASE, 0.010, requests=(1, 8), mode="continuous")
    assert values(BatchingGain(which=Which(), modes=("continuous",)), profiles=(batched,)) == [8.0]
    assert values(BatchingGain(which=Which(), modes=("eager",)), profiles=(batched,)) == []
    assert values(BatchingGain(which=Which(), boards=True), profiles=(batched,)) == []
    cards = (profile(BASE, 0.030, devices=2), profile(BASE, 0.020, devices=4))
    assert values(SplitGain(which=Which()), profiles=cards) == [1.5]


def test_losses_are_the_mean_over_tasks_and_perplexity_only_where_there_are_none():
    scores = (evaluation(INT8, 0.01), evaluation(INT8, 0.03, task="gsm8k"))
    perplexity = evaluation(INT8, 0.5, task="text", metric="perplexity")
    doubted = evaluation(INT8, 0.9, task="odd", doubt="a misprint")
    query = Loss(which=Which(bits=(8,)))
    assert values(query, evaluations=(*scores, perplexity, doubted)) == [2.0]
    assert values(query, evaluations=(perplexity,)) == [50.0]
    f1 = Loss(which=Which(bits=(8,)), metrics=("f1",), tasks=("legal",))
    assert values(f1, evaluations=scores) == []
    assert values(f1, evaluations=(evaluation(INT8, 0.02, task="LegalBench", metric="F1"),)) == [2.0]
    (row,) = query.rows(Evidence(Held(evaluations=(evaluation(INT8, 0.01, half=0.005),))))
    assert row.interval == Interval(lo=0.5, hi=1.5, confidence=0.9)
    assert row.evidence == (f"{INT8.name}/mmlu/s",)


def test_losses_are_subtracted_on_the_tasks_both_have():
    qat = msgspec.structs.replace(
        INT4, id="published:x/qat", name="qat", scheme=msgspec.structs.replace(INT4.scheme, method="qat")
    )
    rtn = msgspec.structs.replace(
        INT4, id="published:x/rtn", name="rtn", scheme=msgspec.structs.replace(INT4.scheme, method="rtn")
    )
    query = LossDifference(which=Which(methods=("qat",)), other=Which(methods=("rtn",)), same_groups=True)
    evaluations = (evaluation(qat, 0.01), evaluation(qat, 0.9, task="alone"), evaluation(rtn, 0.03))
    assert values(query, variants=(qat, rtn), evaluations=evaluations) == [-2.0]
    coarse = msgspec.structs.replace(
        rtn,
        scheme=msgspec.structs.replace(
            rtn.scheme, weight=msgspec.structs.replace(rtn.scheme.weight, group_size=32)
        ),
    )
    assert values(query, variants=(qat, coarse), evaluations=evaluations) == []
    assert values(
        msgspec.structs.replace(query, same_groups=False), variants=(qat, coarse), evaluations=evaluations
    ) == [-2.0]


def test_sizes_and_what_builds_measured():
    full = MODEL.parameters * 4 / 1e9
    assert values(ParameterBytes(models=(MODEL.id, "unknown"), bits=32)) == [full]
    assert values(WeightBytes(which=Which(models=(MODEL.id,), reference=True))) == [full / 2]
    assert values(WeightBytes(which=Which(models=(MODEL.id,), reference=True), as_reduction=True)) == [50.0]
    assert values(BuildFact(key="checkpointing.memory_saved_share", scale=100), variants=(BUILT,)) == [37.0]


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        ([], "untested"),
        (["untested"], "untested"),
        (["supported", "untested"], "supported"),
        (["contradicted", "contradicted"], "contradicted"),
        (["supported", "contradicted"], "partly"),
    ],
)
def test_a_claim_is_judged_by_its_tested_parts(verdicts, verdict):
    assert combined(map(Verdict, verdicts)) is Verdict(verdict)


def _judged(part, **held):
    claim = Claim(number=1, title="t", says="s", parts=(part,))
    return judge_all([claim], Held(**held))[0]


def test_a_part_is_judged_by_its_statistic_and_what_stands_beside_does_not_count():
    part = Part(says="loses 1 to 2 %", unit="%", least=1, most=2, query=Loss(which=Which()))
    evaluations = tuple(evaluation(of, loss) for of, loss in ((BASE, 0.0), (INT8, 0.015), (INT4, 0.05)))
    assert _judged(part).verdict is Verdict.UNTESTED
    assert _judged(part, evaluations=evaluations).verdict is Verdict.SUPPORTED
    most = msgspec.structs.replace(part, statistic=Statistic.MOST)
    judged = _judged(most, evaluations=evaluations)
    assert judged.verdict is Verdict.CONTRADICTED
    assert judged.parts[0].found == pytest.approx(5.0)
    assert [row.value for row in judged.parts[0].rows] == sorted(row.value for row in judged.parts[0].rows)
    beside = msgspec.structs.replace(part, beside=True)
    assert _judged(beside, evaluations=evaluations).verdict is Verdict.UNTESTED


def test_new_evidence_changes_a_verdict_by_itself():
    catalogue = load_catalogue()
    number = next(index for index, claim in enumerate(CLAIMS) if claim.number == 17)
    built = msgspec.structs.replace(
        next(v for v in catalogue.variants if v.scheme.method == "qat"),
        provenance=Provenance(
            facts={"checkpointing.memory_saved_share": 0.41, "checkpointing.extra_time_share": 0.8}
        ),
    )
    others = tuple(v for v in catalogue.variants if v.id != built.id and not v.provenance.facts)
    judged = judge_all(CLAIMS, msgspec.structs.replace(catalogue, variants=(*others, built)))[number]
    assert judged.verdict is Verdict.PARTLY
    assert [part.verdict.value for part in judged.parts] == ["supported", "contradicted"]


def test_the_claims_are_the_twenty_each_once():
    assert [claim.number for claim in CLAIMS] == list(range(1, 21))
    assert all(part.remark for claim in CLAIMS for part in claim.parts if part.query is None)
