"""Files of measured evidence: what they may say, and that they say it of the whole catalogue."""

from __future__ import annotations

import json
from typing import Any

import pytest

from planner.catalogue.load import assemble, load_catalogue, read_files
from planner.catalogue.measured import FOLDER, merge, read_measured
from planner.catalogue.shapes import shape_variant
from planner.domain.figure import Basis
from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.errors import InvalidInput, NotFound

HEADER = {
    "record": "campaign", "id": "test", "description": "of a test", "command": "worker campaign test",
    "fold": "python -m worker.campaign.fold", "made_at": "2026-01-02T03:04:05Z", "campaign_digest": "0" * 64,
    "versions": {"torch": "2.11"},
}  # fmt: skip
ENVIRONMENT = {
    "record": "environment", "id": "e1",
    "environment": {"device_name": "NVIDIA H200", "versions": {"torch": "2.11"}, "facts": {"clock": 1980}},
}  # fmt: skip
PROFILE: dict[str, Any] = {
    "record": "profile",
    "environment": "e1",
    "profile": {
        "id": "measured:test/llama-2-13b/fp16@h200-sxm/transformers-compiled",
        "variant_id": "published:llama-2-13b/fp16",
        "device_id": "h200-sxm",
        "runtime": {"name": "transformers", "version": "5.17", "mode": "compiled"},
        "basis": "measured",
        "synthetic_weights": True,
        "environment": {"facts": {"products": "torch"}},
        "points": [
            {
                "workload": {"input_tokens": 512, "output_tokens": 32, "concurrency": 1},
                "tpot_seconds": {"samples": 5, "mean": 0.0071, "p50": 0.007},
                "memory": {"peak_device_bytes": 28_000_000_000},
            }
        ],
    },
}


def content(*lines):
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def without_measured():
    return {name: text for name, text in read_files().items() if not name.startswith(FOLDER)}


def test_a_profile_gets_its_environment_its_facts_and_its_citation():
    found = assemble({**without_measured(), "measured/test.jsonl": content(HEADER, ENVIRONMENT, PROFILE)})
    (profile,) = (p for p in found.profiles if p.id == PROFILE["profile"]["id"])
    assert profile.environment.device_name == "NVIDIA H200"
    assert dict(profile.environment.facts) == {"clock": 1980, "products": "torch"}
    assert profile.citation == "Variant Planner's own campaign test, `worker campaign test`, 2026-01-02"
    assert found.digest != assemble(without_measured()).digest


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([ENVIRONMENT, PROFILE], "does not begin with its campaign"),
        ([HEADER, PROFILE], "refers to unknown environment `e1`"),
        ([HEADER, {"record": "rumour"}], "rumour"),
        ([HEADER, {**ENVIRONMENT, "more": 1}], "more"),
        (
            [HEADER, ENVIRONMENT, {**PROFILE, "profile": {**PROFILE["profile"], "basis": "published"}}],
            "is published; allowed: basis measured",
        ),
        (
            [HEADER, ENVIRONMENT, {**PROFILE, "profile": {**PROFILE["profile"], "variant_id": "published:x/y"}}],
            "unknown variant `published:x/y`",
        ),
        ([HEADER, ENVIRONMENT, PROFILE, PROFILE], "twice"),
        (
            [
                HEADER, ENVIRONMENT, PROFILE,
                {
                    "record": "evaluation", "environment": "e1",
                    "evaluation": {
                        "id": "measured:test/x", "variant_id": "published:llama-2-13b/fp16", "task": "t",
                        "metric": "perplexity", "higher_is_better": False, "basis": "measured",
                        "baseline_score": 2.0, "variant_score": 2.0,
                        "relative_loss": {"value": 0.0, "unit": "ratio", "basis": "measured"},
                    },
                },
            ],
            "measured on synthetic weights",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_refuses_the_whole_catalogue(lines, message):
    with pytest.raises(InvalidInput, match=message):
        assemble({**without_measured(), "measured/test.jsonl": content(*lines)})


def test_the_planner_finds_it_for_every_variant_of_the_shape():
    from planner.choose.index import Index

    files = {**without_measured(), "measured/test.jsonl": content(HEADER, ENVIRONMENT, PROFILE)}
    found = assemble(files)
    index = Index.build(
        models=found.models, variants=found.variants, evaluations=found.evaluations,
        profiles=found.profiles, devices=found.devices, presets=found.presets,
    )  # fmt: skip
    evidence = index.evidence(index.device("h200-sxm"))
    assert evidence is not None
    at = evidence.points.rank == Basis.MEASURED.rank
    ids = {index.records[row].id for row in evidence.points.row[at]}
    assert {"published:llama-2-13b/fp16", "published:llama-1-13b/fp16"} <= ids
    assert not any("gguf" in identity or "int4" in identity for identity in ids)


def test_a_shape_belongs_to_the_plainest_variant_of_its_scheme():
    catalogue = load_catalogue()
    int4 = Scheme(weight=Precision(format=NumberFormat.INT4, group_size=128, symmetric=False), method="rtn")
    bf16 = Scheme(weight=Precision(format=NumberFormat.BF16))
    assert shape_variant(catalogue, "llama-2-13b", bf16) == "published:llama-2-13b/fp16"
    assert shape_variant(catalogue, "llama-3.1-8b", bf16) == "published:llama-3.1-8b/bf16"
    assert shape_variant(catalogue, "llama-2-13b", int4) == "published:llama-2-13b/int4-g128-awq"
    with pytest.raises(NotFound, match="no model `llama-9`"):
        shape_variant(catalogue, "llama-9", bf16)
    sparse = Scheme(weight=Precision(format=NumberFormat.BF16), attention="topk-32")
    with pytest.raises(InvalidInput, match="under `bf16-topk-32`"):
        shape_variant(catalogue, "llama-2-13b", sparse)


def test_what_ships_is_measured_and_of_campaigns_that_ship():
    shipped = [name for name in read_files() if name.startswith(FOLDER)]
    everything = merge(read_measured(name.partition("/")[2], read_files()[name]) for name in shipped)
    assert all(item.basis is Basis.MEASURED for item in everything.profiles)
    assert all(profile.citation for profile in everything.profiles)
    assert all(evaluation.citation for evaluation in everything.evaluations)
