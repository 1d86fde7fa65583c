"""Imports end to end in process: files in, evidence and kept bytes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planner.domain.figure import Basis
from planner.errors import InvalidInput, NotFound
from planner.wire.imports import ImportOptions, ImportReport, ResultFile
from planner.workspace import Workspace
from tests.ingest import documents
from tests.ingest.documents import FILES, encoded
from tests.workspace.folders import write_llama


@pytest.fixture
def pair(workspace: Workspace, tmp_path: Path) -> tuple[str, str]:
    """Ids of a baseline and a variant of one model."""
    base = workspace.register(write_llama(tmp_path / "base", dtype="F32"), model="tiny", name="full").digest
    variant = workspace.register(write_llama(tmp_path / "variant", seed=1), model="tiny", name="small").digest
    return base, variant


@pytest.fixture
def device(workspace: Workspace) -> str:
    return workspace.devices(search="A100").items[0].id


def run(workspace: Workspace, *contents: object, **options: Any) -> ImportReport:
    files = [
        ResultFile(name=f"result-{i}", content=content if isinstance(content, bytes) else encoded(content))
        for i, content in enumerate(contents)
    ]
    return workspace.import_results(files, ImportOptions(**options))


def lm_eval(run_number: int, right: set[int]) -> tuple[tuple[str, bytes], ...]:
    """The files of a run in which the dummy model had got the items `right` of the choice task right."""
    changed: list[tuple[str, bytes]] = []
    for name, content in documents.lm_eval_files(run_number):
        body = content
        if "tiny_choice" in name:
            lines = [json.loads(line) for line in content.splitlines()]
            for line in lines:
                line["acc"] = line["acc_norm"] = float(line["doc_id"] in right)
            body = "\n".join(json.dumps(line) for line in lines).encode()
        elif name.startswith("results"):
            document = json.loads(content)
            for metric in ("acc", "acc_norm"):
                document["results"]["tiny_choice"][f"{metric},none"] = len(right) / 12
            body = json.dumps(document).encode()
        changed.append((name, body))
    return tuple(changed)


def test_speed_is_registered_and_the_file_kept(
    workspace: Workspace, pair: tuple[str, str], device: str
) -> None:
    content = encoded(documents.vllm_serve())
    report = run(workspace, content, variant=pair[1], device=device, runtime="vllm 0.33.0")
    assert [(item.kind, item.created) for item in report.stored] == [("profile", True)]
    profile = workspace.profiles(variant=pair[1]).items[0]
    assert profile.basis is Basis.IMPORTED
    assert str(profile.runtime) == "vllm 0.33.0"
    assert profile.device_id == device
    assert "TPOT (end to end - TTFT)/(output tokens - 1)" in (profile.protocol or "")
    digest = str(profile.environment.facts["source_sha256"])
    assert b"".join(workspace.open_artifact(digest)) == content
    point = profile.points[0]
    assert str(point.workload) == "1024 in, 128 out, concurrency 8"


def test_importing_again_changes_nothing(workspace: Workspace, pair: tuple[str, str], device: str) -> None:
    first = run(workspace, documents.vllm_serve(), variant=pair[1], device=device, runtime="vllm")
    again = run(workspace, documents.vllm_serve(), variant=pair[1], device=device, runtime="vllm")
    assert not again.stored[0].created
    assert again.stored[0].id == first.stored[0].id
    assert len(workspace.profiles(variant=pair[1]).items) == 1


def test_a_dry_run_stores_nothing(workspace: Workspace, pair: tuple[str, str], device: str) -> None:
    report = run(
        workspace, documents.vllm_serve(), variant=pair[1], device=device, runtime="vllm", dry_run=True
    )
    assert report.profiles
    assert not report.stored[0].created
    assert not workspace.profiles(variant=pair[1]).items
    assert workspace.missing([report.files[0].sha256])


def test_what_nobody_said_is_asked_for_by_name(
    workspace: Workspace, pair: tuple[str, str], device: str
) -> None:
    known: dict[str, Any] = {}
    document = documents.vllm_latency()
    for field, value in (
        ("variant", pair[1]), ("device", device), ("runtime", "vllm 0.33.0"), ("input_tokens", 32), ("output_tokens", 128),
        ("concurrency", 8),
    ):  # fmt: skip
        with pytest.raises(InvalidInput) as asked:
            run(workspace, document, **known)
        assert asked.value.details["field"] == field
        known[field] = value
    assert run(workspace, document, **known).stored[0].created


def test_what_contradicts_the_file_is_refused(
    workspace: Workspace, pair: tuple[str, str], device: str
) -> None:
    bench = (FILES / "llama-bench.json").read_bytes()
    with pytest.raises(InvalidInput, match="contradicts the file"):
        run(workspace, bench, variant=pair[1], device=device, runtime="vllm")
    with pytest.raises(InvalidInput, match="not the 160 tokens"):
        run(workspace, documents.vllm_throughput(), variant=pair[1], device=device, runtime="vllm", input_tokens=1, output_tokens=2, concurrency=1)  # fmt: skip
    with pytest.raises(InvalidInput, match="contradicts the file, which says 1024"):
        run(workspace, documents.vllm_serve(), variant=pair[1], device=device, runtime="vllm", input_tokens=7)
    with pytest.raises(NotFound):
        run(workspace, documents.vllm_serve(), variant="nothing", device=device, runtime="vllm")


def test_a_device_the_file_names_and_the_registry_knows(workspace: Workspace, pair: tuple[str, str]) -> None:
    known = workspace.devices(search="H100").items[0]
    document = documents.aiperf()
    document["telemetry_data"]["endpoints"]["localhost:9401"]["gpus"]["gpu_0"]["gpu_name"] = known.name
    report = run(workspace, document, variant=pair[1], runtime="vllm")
    assert report.profiles[0].device_id == known.id


def test_a_log_alone_is_a_profile_of_memory(workspace: Workspace, pair: tuple[str, str], device: str) -> None:
    load = {"input_tokens": 8064, "output_tokens": 128, "concurrency": 11}
    report = run(workspace, documents.VLLM_LOG.encode(), variant=pair[1], device=device, **load)
    point = report.profiles[0].points[0]
    assert point.ttft_seconds is None
    assert point.memory.graph_bytes
    assert str(report.profiles[0].runtime) == "vllm 0.33.0"


def test_two_runs_are_paired_by_item(workspace: Workspace, pair: tuple[str, str]) -> None:
    base, variant = pair
    report = workspace.import_results(
        [ResultFile(name=n, content=c) for n, c in lm_eval(2, set(range(7)))]
        + [ResultFile(name=n, content=c, of_baseline=True) for n, c in lm_eval(1, set(range(10)))],
        ImportOptions(variant=variant, baseline=base),
    )
    found = {(e.task, e.metric): e for e in report.evaluations}
    choice = found["tiny_choice", "acc"]
    assert choice.counts is not None
    assert (choice.counts.both_right, choice.counts.only_baseline, choice.counts.both_wrong) == (7, 3, 2)
    assert choice.relative_loss.value == pytest.approx(0.3)
    assert choice.relative_loss.interval is not None
    assert choice.mcnemar_p == pytest.approx(0.25)
    assert choice.chance == 0.25
    words = found["tiny_words", "perplexity"]
    assert words.is_perplexity
    assert words.relative_loss.interval is not None
    assert any(f.lint == "L2" and "tiny_generate" in f.message for f in report.findings)
    stored = workspace.evaluations(variant=variant, task="tiny_choice").items
    assert {e.metric for e in stored} == {"acc", "acc_norm"}
    assert len({e.dataset_digest for e in stored}) == 1, "two metrics over the same items count once"


def test_scores_without_items_have_no_interval(workspace: Workspace, pair: tuple[str, str]) -> None:
    base, variant = pair
    mine = [f for f in lm_eval(2, set(range(7))) if f[0].startswith("results")]
    theirs = [f for f in lm_eval(1, set(range(10))) if f[0].startswith("results")]
    report = workspace.import_results(
        [ResultFile(name=n, content=c) for n, c in mine]
        + [ResultFile(name=n, content=c, of_baseline=True) for n, c in theirs],
        ImportOptions(variant=variant, baseline=base),
    )
    choice = next(e for e in report.evaluations if (e.task, e.metric) == ("tiny_choice", "acc"))
    assert choice.relative_loss.value == pytest.approx(0.3)
    assert choice.relative_loss.interval is None
    assert "standard error" in choice.notes[0]
    assert choice.counts is None


def test_other_prompts_are_refused(workspace: Workspace, pair: tuple[str, str]) -> None:
    base, variant = pair
    mine = [(n, c.replace(b'"prompt_hash": "0', b'"prompt_hash": "f')) for n, c in lm_eval(2, set(range(7)))]
    assert any(c != d for (_, c), (_, d) in zip(mine, lm_eval(2, set(range(7))), strict=True))
    report = workspace.import_results(
        [ResultFile(name=n, content=c) for n, c in mine]
        + [ResultFile(name=n, content=c, of_baseline=True) for n, c in lm_eval(1, set(range(10)))],
        ImportOptions(variant=variant, baseline=base),
    )
    assert not [e for e in report.evaluations if e.task == "tiny_choice"]
    assert any(f.lint == "L14" and f.level == "refusal" for f in report.findings)


def test_a_baseline_is_asked_for_and_must_be_of_the_model(
    workspace: Workspace, pair: tuple[str, str]
) -> None:
    base, variant = pair
    files = [ResultFile(name=n, content=c) for n, c in lm_eval(1, {1})]
    for named, field in (
        (None, "baseline"),
        (base, "baseline_file"),
        (variant, "baseline"),
    ):
        with pytest.raises(InvalidInput) as asked:
            workspace.import_results(files, ImportOptions(variant=variant, baseline=named))
        assert asked.value.details["field"] == field


def test_a_comparison_the_tool_made_itself(workspace: Workspace, pair: tuple[str, str]) -> None:
    base, variant = pair
    content = (FILES / "llama-perplexity-kl.txt").read_bytes()
    report = workspace.import_results(
        [ResultFile(name="kl.txt", content=content)], ImportOptions(variant=variant, baseline=base)
    )
    loss = report.evaluations[0].relative_loss
    assert loss.interval is not None
    assert loss.interval.hi == pytest.approx(0.004422 + 1.6449 * 0.004428, rel=1e-3)
    assert report.evaluations[0].fidelity is not None


def test_scores_equal_to_another_builds_put_all_in_doubt(workspace: Workspace, pair: tuple[str, str]) -> None:
    base, variant = pair

    def results(value: float) -> bytes:
        document = json.loads(dict(documents.lm_eval_files(1))[documents.lm_eval_files(1)[0][0]])
        names = ["a", "b", "c"]
        document["results"] = {n: {"alias": n, "acc,none": value + i / 10} for i, n in enumerate(names)}
        for key in ("n-samples", "task_hashes", "configs", "versions", "n-shot", "higher_is_better"):
            document[key] = {}
        return json.dumps(document).encode()

    report = workspace.import_results(
        [
            ResultFile(name="r", content=results(0.5)),
            ResultFile(name="b", content=results(0.5), of_baseline=True),
        ],
        ImportOptions(variant=variant, baseline=base),
    )
    assert len(report.evaluations) == 3
    assert all(e.doubt and "not applied" in e.doubt for e in report.evaluations)
