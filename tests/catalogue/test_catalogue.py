"""Integrity of what ships: every record resolves, every figure has its basis and citation, the arithmetic holds."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from planner.catalogue import Catalogue, load_catalogue
from planner.domain.constraint import LossLimit
from planner.domain.device import DeviceKind
from planner.domain.figure import Basis
from planner.domain.huggingface import supports_exact_count
from planner.domain.naming import name_runs
from planner.domain.scheme import NumberFormat
from planner.domain.units import GIB
from planner.domain.variant import FileFormat

OWN = "Variant Planner's own campaign"
DISTILLS = {"qwen-1.5b", "qwen-7b", "qwen-14b", "qwen-32b", "llama-8b", "llama-70b"}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def variant(catalogue, path):
    return next(v for v in catalogue.variants if v.id == f"published:{path}")


def model(catalogue, identity):
    return next(m for m in catalogue.models if m.id == identity)


def named(items, name):
    return [item.id for item in items if name_runs(name) in {name_runs(n) for n in item.names()}]


def test_it_holds_what_it_promises(catalogue):
    assert len(catalogue.models) >= 40
    assert len(catalogue.devices) >= 45
    assert len(catalogue.presets) >= 12
    assert len(catalogue.variants) >= 500
    assert len(catalogue.evaluations) >= 2500
    assert sum(len(p.points) for p in catalogue.profiles) >= 1500
    ids = {m.id for m in catalogue.models}
    assert {f"deepseek-r1-distill-{size}" for size in DISTILLS} <= ids
    assert {"deepseek-r1", "deepseek-v3", "llama-2-13b", "mixtral-8x7b", "gpt-oss-20b"} <= ids


def test_parameters_follow_from_the_architecture(catalogue):
    for m in catalogue.models:
        assert m.architecture.parameters == m.parameters
        if m.architecture.experts is None:
            assert abs(m.parameters / 1e9 / m.size_billions - 1) < 0.32, m.id
    assert sum(supports_exact_count(m.architecture) for m in catalogue.models) >= 60


@pytest.mark.parametrize(
    ("identity", "parameters", "active"),
    [
        ("llama-1-13b", 13_015_864_320, None),
        ("llama-3.1-8b", 8_030_261_248, None),
        ("qwen2.5-7b", 7_615_616_512, None),
        ("gemma-2-9b", 9_241_705_984, None),
        ("opt-13b", 12_853_473_280, None),
        ("mixtral-8x7b", 46_702_792_704, 12_879_925_248),
        ("gpt-oss-20b", 20_914_757_184, 4_187_440_704),
        ("deepseek-r1", 671_026_419_200, 37_552_297_472),
        ("deepseek-r1-distill-qwen-1.5b", 1_777_088_000, None),
    ],
)
def test_parameter_counts_known_from_outside(catalogue, identity, parameters, active):
    architecture = model(catalogue, identity).architecture
    assert architecture.parameters == parameters
    assert architecture.active_parameters == (active or parameters)


def test_kv_cache_of_deepseek_is_compressed(catalogue):
    r1 = model(catalogue, "deepseek-r1").architecture
    assert r1.kv_elements(1) * 2 == 70_272
    llama = model(catalogue, "llama-2-13b").architecture
    assert llama.kv_elements(1) * 2 == 819_200


def test_weight_bytes_of_13b(catalogue):
    assert variant(catalogue, "llama-2-13b/fp16").weight_bytes.value == 13_015_864_320 * 2
    int8 = variant(catalogue, "llama-2-13b/int8-dynamic-smoothquant").weight_bytes
    assert int8.basis is Basis.MODELLED
    assert int8.value == pytest.approx(13.35e9, rel=0.01)
    q4 = variant(catalogue, "llama-2-13b/q4_k_m")
    assert q4.weight_bytes.basis is Basis.PUBLISHED
    assert q4.weight_bytes.value == round(13_015_864_320 * 4.83 / 8)
    assert q4.effective_bits == pytest.approx(4.83)


def test_weight_bytes_of_published_files(catalogue):
    assert variant(catalogue, "llama-3-8b/q4_k_m").weight_bytes.value == pytest.approx(4.58 * GIB, rel=1e-6)
    r1 = variant(catalogue, "deepseek-r1/q4_k_m").weight_bytes
    assert r1.value == pytest.approx(377 * GIB, rel=1e-6)
    assert variant(catalogue, "deepseek-r1/fp8").weight_bytes.value == pytest.approx(672e9, rel=0.01)


def test_printed_and_modelled_sizes_agree(catalogue):
    from planner.estimate.weights import modelled_weight_bytes

    architectures = {m.id: m.architecture for m in catalogue.models}
    ratios = [
        v.weight_bytes.value / modelled_weight_bytes(architectures[v.model_id], v.scheme).value
        for v in catalogue.variants
        if v.weight_bytes.basis is Basis.PUBLISHED and v.scheme.label != "gguf-mix-3.93bpw"
    ]
    assert len(ratios) >= 60
    assert sum(0.93 <= ratio <= 1.07 for ratio in ratios) >= 0.85 * len(ratios)


def test_every_figure_has_basis_and_citation(catalogue):
    for v in catalogue.variants:
        measured = OWN in str(v.provenance.citation)
        assert v.weight_bytes.basis in ({Basis.MEASURED} if measured else {Basis.PUBLISHED, Basis.MODELLED})
        assert v.weight_bytes.value > 0
        assert v.provenance.citation
        assert not v.is_fetchable
    for e in catalogue.evaluations:
        assert e.citation
        assert e.basis is e.relative_loss.basis is (Basis.MEASURED if OWN in e.citation else Basis.PUBLISHED)
        if e.basis is Basis.PUBLISHED:
            assert e.relative_loss.interval is None
            assert e.relative_loss.evidence == (e.id,)
        if e.absolute_loss is not None:
            assert e.basis is Basis.MEASURED or e.absolute_loss.interval is None
            assert abs(e.absolute_loss.value) <= 100
    for p in catalogue.profiles:
        assert p.citation
        assert p.basis is (Basis.MEASURED if OWN in p.citation else Basis.PUBLISHED)
        assert p.basis is Basis.PUBLISHED or p.environment.versions["torch"]
        assert p.protocol
    for item in (*catalogue.models, *catalogue.devices, *catalogue.presets):
        assert item.citations
        assert all(
            any(word in text for word in ("http", "own choice", "LlamaFarm", OWN)) for text in item.citations
        )


def test_losses_follow_from_the_scores(catalogue):
    for e in catalogue.evaluations:
        assert e.baseline_score > 0
        if e.is_perplexity:
            assert not e.higher_is_better
            assert e.absolute_loss is None
            # Both are stored with nine digits, of which the difference of two near scores keeps few.
            assert e.relative_loss.value == pytest.approx(
                e.variant_score / e.baseline_score - 1, rel=1e-7, abs=1e-8
            )
        else:
            assert 0 <= e.variant_score <= 1
            assert e.baseline_score <= 1
            assert e.relative_loss.value == pytest.approx(1 - e.variant_score / e.baseline_score)


def test_variants_with_one_baseline_are_paired_within_a_source(catalogue):
    baselines: dict[tuple[str, ...], set[float]] = {}
    for e in catalogue.evaluations:
        source = e.id.partition("#")[2].partition("/")[0]
        if e.baseline_variant_id is None or source in {"llamacpp_ppl", "autoround_gguf"}:
            continue
        key = (e.baseline_variant_id, source, e.task, e.metric, e.protocol or "", e.baseline_label or "")
        baselines.setdefault(key, set()).add(e.baseline_score)
    several = {key: values for key, values in baselines.items() if len(values) > 1}
    assert not several


def test_known_scores(catalogue):
    rows = {e.id: e for e in catalogue.evaluations}
    q8 = rows["published:llama-3-8b/q8_0#llamacpp_ppl/wikitext-2-perplexity"]
    assert q8.relative_loss.value == pytest.approx(0.00265 / 6.231634, rel=1e-4)
    assert q8.fidelity is not None
    assert q8.fidelity.kl_mean is not None
    assert q8.fidelity.kl_mean.value == 0.001355
    assert q8.fidelity.kl_mean.interval is not None
    assert rows["published:deepseek-r1/q4_k_m#unicom/mmlu-accuracy"].protocol


def test_doubts_are_carried(catalogue):
    doubted = Counter(
        e.id.partition("#")[2].partition("/")[0] for e in catalogue.evaluations if e.doubt is not None
    )
    assert {"autoround_qwen3_8b", "redhat_qwen1.5b_w4a16", "torchao_qat", "llamacpp_quantize_old"} <= set(
        doubted
    )
    assert any("taken as" in (p.doubt or "") for p in catalogue.profiles)
    assert any("unverified" in (p.doubt or "") for p in catalogue.profiles)


def test_speeds_are_physical(catalogue):
    """No decode step reads its weights faster than the memory of the devices it ran on."""
    devices = {d.id: d for d in catalogue.devices}
    models = {m.id: m for m in catalogue.models}
    weights = {v.id: v for v in catalogue.variants}
    checked = 0
    for p in catalogue.profiles:
        device, v = devices[p.device_id], weights[p.variant_id]
        if device.bandwidth_bytes_per_second is None or p.doubt is not None:
            continue
        m = models[v.model_id]
        read = v.weight_bytes.value * m.architecture.active_parameters / m.parameters
        embedding = m.architecture.vocab_size * m.architecture.hidden_size * 2
        floor = (read - embedding) / (device.bandwidth_bytes_per_second * p.devices)
        for point in p.points:
            if point.tpot_seconds is not None and point.workload.concurrency == 1:
                checked += 1
                assert point.tpot_seconds.mean > 0.97 * floor, (p.id, point)
    assert checked > 500


def test_profile_figures(catalogue):
    for p in catalogue.profiles:
        assert p.points
        for point in p.points:
            figures = [
                point.ttft_seconds, point.tpot_seconds, point.end_to_end_seconds, point.output_tokens_per_second,
            ]  # fmt: skip
            known = [f for f in figures if f is not None]
            memory = point.memory
            counted = (
                memory.peak_device_bytes,
                memory.peak_reserved_bytes,
                memory.peak_rss_bytes,
                memory.held_bytes,
                memory.weights_bytes,
            )
            assert known or any(counted)
            for figure in known:
                assert math.isfinite(figure.mean)
                assert figure.mean > 0
                if p.basis is Basis.PUBLISHED:  # the sources print no percentiles
                    assert figure.p50 is None
                    assert figure.p99 is None


def test_vllm_memory_is_no_peak(catalogue):
    for p in catalogue.profiles:
        if p.runtime.name in {"vllm", "tensorrt-llm", "sglang"}:
            assert all(point.memory.peak_device_bytes is None for point in p.points)


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("llama2 13b", "llama-2-13b"),
        ("Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("r1", "deepseek-r1"),
        ("deepseek-r1-distill-qwen-32b", "deepseek-r1-distill-qwen-32b"),
        ("R1 32B", "deepseek-r1-distill-qwen-32b"),
        ("Qwen 2.5 7B", "qwen2.5-7b"),
        ("mixtral", "mixtral-8x7b"),
        ("gpt-oss", "gpt-oss-20b"),
        ("满血版", "deepseek-r1"),
    ],
)
def test_model_names_people_type(catalogue, name, identity):
    assert named(catalogue.models, name) == [identity]


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("4090", "rtx-4090"),
        ("RTX 4090", "rtx-4090"),
        ("h100", "h100-sxm"),
        ("A100 80GB", "a100-80gb-sxm"),
        ("jetson orin", "jetson-agx-orin-64gb"),
        ("pi 5", "raspberry-pi-5-8gb"),
        ("M2 Ultra", "apple-m2-ultra-76c-192gb"),
        ("树莓派5", "raspberry-pi-5-8gb"),
        ("dgx spark", "dgx-spark-gb10"),
        ("EPYC 9004", "epyc-9004-384gb"),
    ],
)
def test_device_names_people_type(catalogue, name, identity):
    assert named(catalogue.devices, name) == [identity]


def test_device_kinds(catalogue):
    kinds = {d.id: d.kind for d in catalogue.devices}
    assert kinds["h100-sxm"] is DeviceKind.GPU
    assert kinds["jetson-orin-nano-8gb"] is DeviceKind.BOARD
    assert kinds["apple-m1-max-64gb"] is DeviceKind.BOARD
    assert kinds["raspberry-pi-5-8gb"] is DeviceKind.BOARD
    assert kinds["xeon-sapphire-rapids-256gb"] is DeviceKind.CPU
    for d in catalogue.devices:
        assert d.memory_bytes >= 8 * GIB
        assert d.usable_bytes is None or d.usable_bytes < d.memory_bytes
        assert d.bandwidth_bytes_per_second is None or d.bandwidth_bytes_per_second > 1e10
    h100 = next(d for d in catalogue.devices if d.id == "h100-sxm")
    assert h100.peak.of(NumberFormat.FP8) == 1979e12
    assert h100.peak.fp4 is None


def test_schemes_say_what_was_quantized(catalogue):
    kv = variant(catalogue, "llama-2-7b/chat-fp16-kv-int8")
    assert kv.scheme.kv is not None
    assert not kv.scheme.is_reference
    assert kv.scheme.name == "fp16-kv-int8"
    w4a8 = variant(catalogue, "llama-3.2-1b/instruct-int4-a-int8-dynamic-g32-qat-lora").scheme
    assert (w4a8.weight.format, w4a8.weight.group_size, w4a8.method) == (NumberFormat.INT4, 32, "qat-lora")
    static = variant(catalogue, "qwen3-8b/fp8-static").scheme
    assert static.activation_scaling == "static"
    gguf = variant(catalogue, "llama-3-8b/q4_k_m")
    assert gguf.scheme.name == "q4_k_m"
    assert gguf.file_format is FileFormat.GGUF
    assert gguf.runtimes == ("llama.cpp",)
    assert variant(catalogue, "deepseek-r1/fp8").scheme.name == "fp8-block"


def test_presets(catalogue):
    presets = {p.id: p for p in catalogue.presets}
    assert {
        "research",
        "high-stakes",
        "offline-batch",
        "realtime-chat",
        "voice-assistant",
        "translation",
    } <= set(presets)
    assert {
        "edge-device",
        "low-cost",
        "coding-assistant",
        "rag",
        "summarization",
        "classification",
        "mobile",
    } <= set(presets)
    limit = next(c for c in presets["high-stakes"].constraints if isinstance(c, LossLimit))
    assert limit.certified_only
    for preset in presets.values():
        assert any("\u4e00" <= letter <= "\u9fff" for alias in preset.aliases for letter in alias), preset.id
        assert len(preset.description) > 60
