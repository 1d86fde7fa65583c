"""Every lint by its own test, on a document that has the defect and, where it could cry wolf, on one that has not."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from planner.domain.runtime import Runtime
from planner.domain.units import GIB
from planner.errors import InvalidInput
from planner.ingest.binding import compare_lengths
from planner.ingest.combining import combine
from planner.ingest.formats.optimum_benchmark import repair
from planner.ingest.imported import Finding, Imported, Item, Level, TaskScore
from planner.ingest.lints import TITLES, accuracy, memory, provenance
from planner.ingest.recognition import read
from tests.ingest import documents
from tests.ingest.documents import encoded


def imported(*contents: object) -> Imported:
    return combine(
        [read(c if isinstance(c, bytes) else encoded(c), f"file-{i}") for i, c in enumerate(contents)]
    )


def messages(found: Imported | list[Finding], lint: str) -> list[str]:
    findings = found.findings if isinstance(found, Imported) else found
    assert all(finding.lint in TITLES for finding in findings)
    return [finding.message for finding in findings if finding.lint == lint]


def score(task: str, value: float, **changes: Any) -> TaskScore:
    base = TaskScore(task=task, metric="acc", higher_is_better=True, score=value, stderr=0.01, items=1000)
    return msgspec.structs.replace(base, **changes)


def by_key(*scores: TaskScore) -> dict[tuple[str, str], TaskScore]:
    return {(s.task, s.metric): s for s in scores}


def test_l1_equal_scores_mean_that_nothing_was_quantized() -> None:
    mine = by_key(*(score(f"t{i}", 0.51 + i / 100) for i in range(8)))
    values = {key: s.score for key, s in mine.items()}
    findings: list[Finding] = []
    doubt = accuracy.not_applied(findings, mine, {"the baseline": values}, baseline="the baseline", bits=4.5)
    assert doubt is not None
    assert "all 8 scores equal" in doubt
    assert messages(findings, "L1") == [doubt]
    values["t3", "acc"] += 1e-6
    assert accuracy.not_applied([], mine, {"the baseline": values}, baseline="the baseline", bits=4.5) is None


def test_l1_a_few_equal_scores_prove_nothing() -> None:
    mine = by_key(score("a", 0.5), score("b", 0.0), score("c", 1.0))
    values = {key: s.score for key, s in mine.items()}
    assert accuracy.not_applied([], mine, {"x": values}, baseline="x", bits=4.5) is None


def test_l1_two_bits_within_the_baselines_noise() -> None:
    mine = by_key(*(score(f"t{i}", 0.5) for i in range(3)))
    values = dict.fromkeys(mine, 0.505)
    doubt = accuracy.not_applied([], mine, {"base": values}, baseline="base", bits=2.3)
    assert doubt is not None
    assert "2.3 bits" in doubt
    assert accuracy.not_applied([], mine, {"base": values}, baseline="base", bits=4.3) is None


def test_l1_the_same_log_likelihoods_on_every_item() -> None:
    pairs = [(Item(key=str(i), fingerprint="f", answer="same"),) * 2 for i in range(5)]
    assert accuracy.same_answers([], "t", pairs) is not None
    changed = msgspec.structs.replace(pairs[0][0], answer="other")
    assert accuracy.same_answers([], "t", [(pairs[0][0], changed), *pairs[1:]]) is None


def test_l2_a_baseline_at_the_floor_or_at_chance_says_nothing() -> None:
    findings: list[Finding] = []
    assert accuracy.no_information(findings, score("gsm8k", 0.0023)) is not None
    assert "no information" in messages(findings, "L2")[0]
    assert accuracy.no_information([], score("mmlu", 0.26, chance=0.25)) is not None
    assert accuracy.no_information([], score("mmlu", 0.60, chance=0.25)) is None


def test_l3_a_size_that_contradicts_the_weights_is_weak_evidence() -> None:
    findings: list[Finding] = []
    memory.contradicts_weights(findings, file_bytes=int(14.96e9), weight_bytes=int(5e9))
    assert "weak evidence" in messages(findings, "L3")[0]
    assert findings[0].level is Level.WARNING
    memory.contradicts_weights(findings, file_bytes=int(5.1e9), weight_bytes=int(5e9))
    assert len(findings) == 1


def test_l3b_the_variant_is_asked_for() -> None:
    with pytest.raises(InvalidInput, match=r"variant.*its name is not read"):
        provenance.ask_for_variant(None)


def test_l3c_at_chance_everywhere_is_broken_not_lossy() -> None:
    base = score("mmlu", 0.7, is_choice=True, chance=0.25)
    findings: list[Finding] = []
    note = accuracy.broken(findings, [(base, score("mmlu", 0.26)), (base, score("arc", 0.24))])
    assert note is not None
    assert "broken artifact" in note
    assert messages(findings, "L3c") == [note]
    assert accuracy.broken([], [(base, score("mmlu", 0.26)), (base, score("arc", 0.4))]) is None


def test_l4_accumulated_per_token_times_are_repaired() -> None:
    found = imported(documents.optimum_benchmark(tokens=64, iterations=10))
    assert messages(found, "L4") == ["per-token values had accumulated over iterations: 630 of 3510 are kept"]
    tpot = found.profiles[0].timings[0].tpot
    assert tpot is not None
    assert tpot.samples == 630
    assert tpot.p99 == pytest.approx(0.1), "the prefills between generates are gone"


def test_l4_honest_values_are_left_alone_and_others_refused() -> None:
    assert repair([0.1] * 630, 64, 10) == [0.1] * 630
    assert repair([0.1] * 631, 64, 10) is None
    document = documents.optimum_benchmark()
    document["report"]["per_token"]["latency"]["values"].append(0.1)
    found = imported(document)
    assert "left out" in messages(found, "L4")[0]
    tpot = found.profiles[0].timings[0].tpot
    assert tpot is not None
    assert tpot.mean == pytest.approx(0.1), "decode over its tokens stands in"


def test_l5_bytes_called_mb_and_seconds_without_ms() -> None:
    found = imported(documents.optimum_benchmark())
    assert "bytes, not MB" in messages(found, "L5")[0]
    assert found.profiles[0].facts["gpu_memory_bytes"] == 80 * GIB
    document = documents.vllm_serve()
    for key in [key for key in document if key.endswith("_ttft_ms")]:
        document[key.removesuffix("_ms")] = document.pop(key) / 1e3
    fork = imported(document)
    ttft = fork.profiles[0].timings[0].ttft
    assert ttft is not None
    assert ttft.mean == pytest.approx(0.080)
    assert messages(fork, "L5")


def test_l5_telemetry_in_an_unknown_unit_is_left_out() -> None:
    document = documents.aiperf()
    gpu = document["telemetry_data"]["endpoints"]["localhost:9401"]["gpus"]["gpu_0"]
    gpu["metrics"]["nvidia_memory_used"]["unit"] = "furlongs"
    found = imported(document)
    assert messages(found, "L5")
    assert found.profiles[0].timings[0].memory.peak_device_bytes is None


def test_l6_foreign_memory_taints() -> None:
    found = imported(documents.optimum_benchmark(max_global_vram=13922.0, max_process_vram=6493.0))
    assert messages(found, "L6")
    used = found.profiles[0].timings[0].memory
    assert used.peak_process_bytes is None
    assert used.peak_allocated_bytes is not None
    assert not messages(imported(documents.optimum_benchmark()), "L6")


def test_l7_a_process_that_was_not_visible() -> None:
    found = imported(documents.optimum_benchmark(max_process_vram=0.0))
    assert messages(found, "L7")
    assert found.profiles[0].timings[0].memory.peak_device_bytes is None


def test_l8_a_serving_run_may_be_warm() -> None:
    assert messages(imported(documents.vllm_serve()), "L8")
    assert not messages(imported(documents.vllm_serve(prefix_caching="off")), "L8")


def test_l9_a_latency_of_zero_is_missing() -> None:
    zeros = {
        f"{stat}_{name}_ms": 0.0 for name in ("ttft", "itl") for stat in ("mean", "median", "p99", "std")
    }
    found = imported(documents.vllm_serve(**zeros))
    timing = found.profiles[0].timings[0]
    assert messages(found, "L9")
    assert timing.ttft is None
    assert timing.itl is None
    assert timing.tpot is not None


def test_l10_coalesced_chunks() -> None:
    found = imported(documents.inference_perf())
    timing = found.profiles[0].timings[0]
    assert messages(found, "L10")
    assert timing.itl is None
    assert timing.tpot is not None
    assert timing.facts["itl_p50_as_written"] == pytest.approx(3.4e-5)
    assert not messages(imported(documents.inference_perf(itl_median=0.0034)), "L10")


def test_l11_a_tpot_of_another_definition_is_recomputed() -> None:
    found = imported(documents.inference_perf())
    timing = found.profiles[0].timings[0]
    assert timing.tpot is not None
    assert timing.tpot.mean == pytest.approx((0.483 - 0.0333) / 61)
    assert timing.tpot.p50 is None
    assert timing.facts["tpot_mean_as_written"] == 0.00348
    assert messages(found, "L11")
    assert not messages(imported(documents.vllm_serve()), "L11")


def test_l11_requests_are_recomputed_one_by_one() -> None:
    detail = {
        "output_lens": [11, 21, 1],
        "ttfts": [0.1, 0.1, 0.1],
        "latencies": [0.3, 0.5, 0.1],
        "itls": [[0.02] * 10, [0.02] * 20, []],
    }
    timing = imported(documents.vllm_serve(**detail)).profiles[0].timings[0]
    assert timing.tpot is not None
    assert timing.tpot.samples == 2
    assert timing.facts["tpot_recomputed"]


def test_l12_spread_or_too_few_repetitions() -> None:
    rows = json.loads((documents.FILES / "llama-bench.json").read_bytes())
    rows[0] |= {"avg_ns": 25_232_000, "stddev_ns": 17_263_000}
    rows[1] |= {"avg_ns": 42_935_000, "stddev_ns": 240_000}
    found = imported(rows)
    first, second = found.profiles[0].timings
    assert first.stability is not None
    assert not first.stability.is_stable
    assert second.stability is not None
    assert second.stability.is_stable
    assert ["pp32" in message for message in messages(found, "L12")] == [True]
    rows[1]["samples_ns"] = rows[1]["samples_ns"][:3]
    assert "3 repetitions" in messages(imported(rows), "L12")[1]


def test_l13_no_p99_from_fewer_than_a_hundred() -> None:
    few = imported(documents.vllm_serve(completed=50))
    ttft = few.profiles[0].timings[0].ttft
    assert messages(few, "L13")
    assert ttft is not None
    assert ttft.p99 is None


def test_l14_other_settings_are_not_comparable() -> None:
    base = score("t", 0.5, identity={"task hash": "a", "few-shot": "5"}, batch_size="8")
    findings: list[Finding] = []
    assert not accuracy.comparable(
        findings, base, score("t", 0.5, identity={"task hash": "a", "few-shot": "0"})
    )
    assert findings[0].level is Level.REFUSAL
    assert "few-shot" in findings[0].message
    findings = []
    assert accuracy.comparable(findings, base, score("t", 0.5, identity=base.identity, batch_size="32"))
    assert findings[0].level is Level.WARNING
    assert "batch size" in findings[0].message


def test_l14_other_prompts_are_not_paired() -> None:
    items = tuple(Item(key=str(i), fingerprint=f"f{i}", answer="") for i in range(4))
    other = (*items[:3], msgspec.structs.replace(items[3], fingerprint="changed"))
    findings: list[Finding] = []
    assert not accuracy.same_items(findings, score("t", 0.5, records=items), score("t", 0.5, records=other))
    assert "1 items have another prompt" in findings[0].message
    assert accuracy.same_items([], score("t", 0.5, records=items), score("t", 0.5, records=items))


def test_l15_a_subset_is_said() -> None:
    files = [(n, c.replace(b'"original": 12', b'"original": 1200')) for n, c in documents.lm_eval_files(1)]
    found = combine([read(content, name) for name, content in files])
    assert any("12 of 1200 items" in message for message in messages(found, "L15"))


def test_l16_a_variant_that_stops_early() -> None:
    findings: list[Finding] = []
    assert accuracy.shortened(findings, "gsm8k", 0.89) is not None
    assert messages(findings, "L16")
    assert accuracy.shortened([], "gsm8k", 0.91) is None
    base = imported(documents.vllm_serve()).profiles
    short = imported(documents.vllm_serve(total_output_tokens=20000)).profiles
    assert compare_lengths(short, base, findings) is not None
    assert compare_lengths(base, base, findings) is None


def test_l17_commits_that_are_the_tools_own() -> None:
    found = imported(documents.optimum_benchmark())
    assert "transformers_commit" in messages(found, "L17")[0]
    assert "transformers_commit" not in found.profiles[0].versions


def test_l18_random_weights_are_marked() -> None:
    found = imported(documents.optimum_benchmark())
    assert messages(found, "L18")
    assert found.profiles[0].synthetic_weights


def test_l19_the_engine_is_asked_for_and_not_contradicted() -> None:
    with pytest.raises(InvalidInput, match=r"runtime.*does not say which engine"):
        provenance.ask_for_engine(None, None)
    with pytest.raises(InvalidInput, match="contradicts the file"):
        provenance.ask_for_engine(Runtime(name="llama.cpp", version="b6000"), Runtime(name="vllm"))
    assert (
        str(provenance.ask_for_engine(Runtime(name="vllm"), Runtime(name="vllm", version="0.33.0")))
        == "vllm 0.33.0"
    )
    log = documents.LLAMA_LOG.encode()
    assert messages(imported(documents.sglang_serving(), log), "L19")


def test_l20_counters_that_saw_other_traffic() -> None:
    found = imported(documents.inference_perf(), documents.inference_perf_counters(1140))
    assert "counted 1140 requests and the client sent 60" in messages(found, "L20")[0]
    assert not messages(imported(documents.inference_perf(), documents.inference_perf_counters(60)), "L20")


def test_l21_retokenised_tokens() -> None:
    found = imported(
        documents.sglang_serving(total_output_tokens=218257, total_output_tokens_retokenized=103837)
    )
    assert "218257 output tokens reported" in messages(found, "L21")[0]
    assert found.profiles[0].timings[0].load.output_tokens == round(218257 / 160)
    assert not messages(imported(documents.sglang_serving()), "L21")


def test_l22_survivors_carry_the_error_share() -> None:
    found = imported(documents.vllm_serve(failed=50))
    assert messages(found, "L22")
    assert found.profiles[0].timings[0].error_share == 0.2
