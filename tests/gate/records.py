"""Variants, evaluations and profiles for gates."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from planner.domain.evaluation import Certification, Document, Evaluation, ItemOutcome
from planner.domain.figure import Basis, Figure, Interval, exact
from planner.domain.loss import LossKind, perplexity_loss, scores_loss
from planner.domain.profile import Distribution, Environment, MemoryUse, Profile, ProfilePoint
from planner.domain.runtime import Runtime
from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.domain.statistics import paired_counts
from planner.domain.units import Unit
from planner.domain.variant import Artifact, FileFormat, Provenance, Variant, manifest_digest
from planner.domain.workload import Workload
from planner.gate.evidence import Evidence
from planner.gate.policy import Policy
from planner.gate.policy_text import parse_policy

NOW = datetime(2026, 11, 1, tzinfo=UTC)
POINT = Workload(input_tokens=128, output_tokens=32, concurrency=1)
BASE = "sha256:" + "b" * 64


def policy(rules: str) -> Policy:
    return parse_policy("version: 1\n" + rules)


def variant(
    name: str = "int4", *, model: str = "small", base: str | None = BASE, size: int = 1000
) -> Variant:
    artifacts = (
        Artifact(path="model.safetensors", size=size, sha256=hashlib.sha256(name.encode()).hexdigest()),
    )
    return Variant(
        id=manifest_digest(artifacts) if name != "base" else BASE,
        model_id=model,
        name=name,
        scheme=Scheme(weight=Precision(format=NumberFormat.INT4, group_size=128)),
        file_format=FileFormat.SAFETENSORS,
        weight_bytes=exact(float(size), Unit.BYTES, basis=Basis.MEASURED),
        artifacts=artifacts,
        provenance=Provenance(base_variant_id=base),
    )


def outcomes(
    lost: int, gained: int, items: int, *, right: float = 0.75, start: int = 0
) -> tuple[ItemOutcome, ...]:
    """Items of which `lost` only the baseline got right and `gained` only the variant."""
    both = round(items * right) - lost
    kinds = [(1.0, 1.0)] * both + [(1.0, 0.0)] * lost + [(0.0, 1.0)] * gained
    kinds += [(0.0, 0.0)] * (items - len(kinds))
    order = np.random.default_rng(items).permutation(items)
    return tuple(
        ItemOutcome(id=f"q{start + n}", baseline=kinds[k][0], variant=kinds[k][1])
        for n, k in enumerate(order)
    )


def evaluation(
    records: Sequence[ItemOutcome],
    *,
    task: str = "maths",
    metric: str = "acc",
    of: Variant | None = None,
    age_days: float = 1.0,
    noise: float | None = None,
    **changes: Any,
) -> Evaluation:
    base, other = [each.baseline for each in records], [each.variant for each in records]
    made: dict[str, Any] = {
        "id": f"eval-{task}-{metric}-{len(records)}-{sum(other)}-{age_days}",
        "variant_id": (of or variant()).id,
        "task": task,
        "metric": metric,
        "higher_is_better": True,
        "basis": Basis.MEASURED,
        "baseline_score": sum(base) / len(base),
        "variant_score": sum(other) / len(other),
        "relative_loss": scores_loss(base, other, kind=LossKind.RELATIVE, basis=Basis.MEASURED),
        "baseline_variant_id": BASE,
        "items": len(records),
        "counts": paired_counts(records),
        "outcomes": tuple(records),
        "noise_floor": None if noise is None else Figure(value=noise, unit=Unit.RATIO, basis=Basis.MEASURED),
        "dataset_digest": "sha256:" + "d" * 64,
        "protocol": "p1",
        "environment": Environment(versions={"transformers": "5.0.0"}),
        "measured_at": NOW - timedelta(days=age_days),
    }
    return Evaluation(**{**made, **changes})


def text(loss: float, n: int = 200, *, seed: int = 0, **changes: Any) -> Evaluation:
    """An evaluation on text with a relative perplexity loss of about `loss`."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(100, 500, size=n)
    change = tokens * (np.log1p(loss) + rng.normal(0, 0.01, size=n))
    documents = tuple(
        Document(id=str(k), tokens=int(t), baseline_nll=2.0 * t, variant_nll=float(2.0 * t + c))
        for k, (t, c) in enumerate(zip(tokens, change, strict=True))
    )
    figure = perplexity_loss(documents, basis=Basis.MEASURED)
    made: dict[str, Any] = {
        "id": f"text-{loss}-{n}-{seed}",
        "variant_id": variant().id,
        "task": "prose",
        "metric": "perplexity",
        "higher_is_better": False,
        "basis": Basis.MEASURED,
        "baseline_score": 7.4,
        "variant_score": 7.4 * (1 + figure.value),
        "relative_loss": figure,
        "baseline_variant_id": BASE,
        "items": n,
        "documents": documents,
        "dataset_digest": "sha256:" + "e" * 64,
        "measured_at": NOW - timedelta(days=1),
    }
    return Evaluation(**{**made, **changes})


def profile(
    tpot: float,
    *,
    of: Variant | None = None,
    number: int = 0,
    driver: str = "580.1",
    peak: int = 10_000,
    version: str = "5.0.0",
    **changes: Any,
) -> Profile:
    owner = of or variant()
    made: dict[str, Any] = {
        "id": f"profile-{owner.name}-{number}-{tpot}",
        "variant_id": owner.id,
        "device_id": "h200-sxm",
        "runtime": Runtime(name="transformers", version=version, mode="eager"),
        "basis": Basis.MEASURED,
        "points": (
            ProfilePoint(
                workload=POINT,
                tpot_seconds=Distribution(samples=200, mean=tpot, p50=tpot, p95=1.2 * tpot),
                memory=MemoryUse(peak_device_bytes=peak),
            ),
        ),
        "environment": Environment(device_name="H200", driver=driver, versions={"torch": "2.11.0"}),
        "protocol": "ours",
        "measured_at": NOW - timedelta(days=1),
    }
    return Profile(**{**made, **changes})


def evidence(*evaluations: Evaluation, profiles: Sequence[Profile] = (), **changes: Any) -> Evidence:
    made: dict[str, Any] = {
        "variant": variant(),
        "evaluations": tuple(evaluations),
        "profiles": tuple(profiles),
        "reference": variant("base", base=None),
    }
    return Evidence(**{**made, **changes})


def certified(limit: float, items: int) -> Certification:
    from planner.domain.evaluation import Decision

    return Certification(
        limit=limit,
        confidence=0.95,
        decision=Decision.CERTIFIED,
        items=items,
        available=items,
        exact=True,
        method="bets",
    )


def interval(lo: float, hi: float) -> Interval:
    return Interval(lo=lo, hi=hi, confidence=0.9)
