from __future__ import annotations

import msgspec
import pytest

from planner.domain.figure import Basis
from planner.domain.profile import Distribution, MemoryUse, Profile, ProfilePoint
from planner.domain.runtime import Runtime
from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.domain.variant import FileFormat
from planner.domain.workload import Workload
from planner.estimate.siblings import run_key, shape_key
from tests.choose.records import GPU, LLAMA_2_13B, MODELS, QWEN_3_30B, SCHEMES, Records, model, variant

LLAMA_1_13B = msgspec.structs.replace(LLAMA_2_13B, max_context=2048, model_type="llama")
INT4 = SCHEMES["int4-g128"]


def test_the_longest_context_and_the_method_of_rounding_change_nothing():
    key = shape_key(LLAMA_2_13B, INT4)
    assert key is not None
    assert shape_key(LLAMA_1_13B, INT4) == key
    awq = msgspec.structs.replace(
        INT4, method="awq", weight=msgspec.structs.replace(INT4.weight, symmetric=False)
    )
    assert shape_key(LLAMA_2_13B, awq) == key
    fp16 = Scheme(weight=Precision(format=NumberFormat.FP16))
    assert shape_key(LLAMA_2_13B, fp16) == shape_key(LLAMA_2_13B, SCHEMES["bf16"])


@pytest.mark.parametrize(
    "other",
    [
        SCHEMES["int4-g32"],
        SCHEMES["int4-kv8"],
        SCHEMES["int8"],
        msgspec.structs.replace(INT4, attention="topk-32"),
        msgspec.structs.replace(INT4, method="quarot"),
        msgspec.structs.replace(INT4, mixed=True),
        msgspec.structs.replace(INT4, label="fp8-block"),
    ],
)
def test_everything_a_kernel_sees_counts(other):
    assert shape_key(LLAMA_2_13B, other) != shape_key(LLAMA_2_13B, INT4)
    assert shape_key(MODELS[1].architecture, INT4) != shape_key(LLAMA_2_13B, INT4)


def test_experts_and_gguf_run_like_nothing_but_themselves():
    assert shape_key(QWEN_3_30B, SCHEMES["bf16"]) is None
    file = msgspec.structs.replace(variant(MODELS[0], "bf16"), file_format=FileFormat.GGUF)
    assert run_key(LLAMA_2_13B, file) is None


def _profile(of, seconds, *, synthetic, mode="compiled", doubt=None):
    point = ProfilePoint(
        workload=Workload(input_tokens=512, output_tokens=32, concurrency=1),
        tpot_seconds=Distribution(samples=5, mean=seconds, p50=seconds),
        memory=MemoryUse(peak_device_bytes=9_000_000_000),
    )
    return Profile(
        id=f"profile:{of.id}:{seconds}",
        variant_id=of.id,
        device_id=GPU.id,
        runtime=Runtime(name="transformers", version="5", mode=mode),
        basis=Basis.MEASURED,
        points=(point,),
        synthetic_weights=synthetic,
        doubt=doubt,
    )


def _evidence(variants, profiles):
    index = Records((*MODELS, model("llama-1-13b", LLAMA_1_13B, 13)), variants, (), profiles).index()
    evidence = index.evidence(index.device(GPU.id))
    assert evidence is not None
    points = evidence.points
    named = [index.records[row].name for row in points.row]
    return sorted(zip(named, points.tpot[:, 1].tolist(), strict=True))


def test_synthetic_weights_speak_for_every_sibling_and_real_ones_for_themselves_alone():
    shape = variant(MODELS[0], "int4-g128", name="shape", held=False)
    own = variant(MODELS[0], "int4-g128", name="own")
    older = variant(model("llama-1-13b", LLAMA_1_13B, 13), "int4-g128", name="older")
    other = variant(MODELS[0], "int8", name="other")
    variants = (shape, own, older, other)
    synthetic = _profile(shape, 0.007, synthetic=True)
    assert _evidence(variants, (synthetic,)) == [("older", 0.007), ("own", 0.007), ("shape", 0.007)]
    assert _evidence(variants, (_profile(shape, 0.007, synthetic=False),)) == [("shape", 0.007)]
    real = _profile(own, 0.008, synthetic=False)
    assert _evidence(variants, (synthetic, real)) == [("older", 0.007), ("own", 0.008), ("shape", 0.007)]
    eager = _profile(own, 0.02, synthetic=False, mode="eager")
    assert ("own", 0.007) in _evidence(variants, (synthetic, eager))
    doubted = _profile(own, 0.008, synthetic=False, doubt="throttled")
    assert ("own", 0.007) in _evidence(variants, (synthetic, doubted))


def test_synthetic_weights_prove_no_runtime():
    shape = variant(MODELS[0], "int4-g128", name="shape", held=False)
    for synthetic in (True, False):
        index = Records(MODELS, (shape,), (), (_profile(shape, 0.007, synthetic=synthetic),)).index()
        assert index.loads_under("transformers")[1].tolist() == [not synthetic]
