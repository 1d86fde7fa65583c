"""From records to domain structs: ids, figures with their basis, losses by the one definition, full citations."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

import msgspec

from planner.catalogue.records import Build, Point, Run, Score, Source
from planner.domain.device import Device
from planner.domain.evaluation import Evaluation, Fidelity
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.loss import absolute_loss, relative_loss
from planner.domain.model import Model
from planner.domain.profile import Distribution, Environment, MemoryUse, Profile, ProfilePoint
from planner.domain.runtime import canonical
from planner.domain.scenario import Preset
from planner.domain.units import Unit
from planner.domain.variant import FileFormat, Provenance, Variant
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from planner.estimate.weights import modelled_weight_bytes

Cited = TypeVar("Cited", Model, Device, Preset)

PUBLISHED: Final = "published:"
_NOT_IN_ID: Final = re.compile(r"[^a-z0-9.+@]+")
_Z90: Final = 1.6449
"""Normal quantile of a two-sided 90 % interval, for printed standard errors."""


def _key(*parts: str | int | None) -> str:
    words = " ".join(str(part) for part in parts if part)
    return _NOT_IN_ID.sub("-", words.lower()).strip("-")


class Citations:
    """Source keys to citations."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = {source.id: source for source in sources}

    def source(self, key: str, *, of: str) -> Source:
        """Return the source called `key`. Raises InvalidInput naming `of`, which cites it."""
        found = self._sources.get(key)
        if found is None:
            raise InvalidInput(
                f"catalogue: {of}", f"cites unknown source `{key}`", allowed="a key of sources.jsonl"
            )
        return found

    def cite(self, items: Iterable[Cited]) -> tuple[Cited, ...]:
        """Return `items` with every source key replaced by its citation; every item must cite something."""
        cited: list[Cited] = []
        for item in items:
            if not item.citations:
                raise InvalidInput(
                    f"catalogue: {item.id}", "cites nothing", allowed="at least one source key"
                )
            full = tuple(self.source(key, of=item.id).citation for key in item.citations)
            cited.append(msgspec.structs.replace(item, citations=full))
        return tuple(cited)


def variants(
    builds: Iterable[Build], models: Mapping[str, Model], runs: Iterable[Run], citations: Citations
) -> tuple[Variant, ...]:
    """Return the variants of `builds`. A runtime is known to load a variant when a run or the file format shows it."""
    runtimes: defaultdict[str, set[str]] = defaultdict(set)
    for run in runs:
        runtimes[run.variant].add(canonical(run.runtime.name))
    return tuple(
        _variant(build, models, runtimes[f"{build.model}/{build.slug}"], citations) for build in builds
    )


def _variant(
    build: Build, models: Mapping[str, Model], runtimes: Iterable[str], citations: Citations
) -> Variant:
    path = f"{build.model}/{build.slug}"
    model = models.get(build.model)
    if model is None:
        raise InvalidInput(
            f"catalogue: {path}", f"is of unknown model `{build.model}`", allowed="an id of models.jsonl"
        )
    if not build.sources:
        raise InvalidInput(f"catalogue: {path}", "cites nothing", allowed="at least one source key")
    if build.size_source is not None and build.size_source not in build.sources:
        raise InvalidInput(f"catalogue: {path}", "takes its size from a source it does not cite")
    weight_bytes = _weight_bytes(build, model)
    # GGUF block types exist in no other container, so such a build is one even where its source does not say.
    file_format = FileFormat.GGUF if build.scheme.weight.format.is_gguf else build.format
    reference = f"{PUBLISHED}{model.id}/{model.reference_format.value}"
    variant_id = PUBLISHED + path
    return Variant(
        id=variant_id,
        model_id=model.id,
        name=f"{model.id}-{build.slug}",
        scheme=build.scheme,
        file_format=file_format,
        weight_bytes=weight_bytes,
        parameters=model.parameters,
        effective_bits=weight_bytes.value * 8 / model.parameters,
        provenance=Provenance(
            recipe=build.scheme.method,
            base_variant_id=None if variant_id == reference else reference,
            citation="; ".join(citations.source(key, of=path).citation for key in build.sources),
        ),
        runtimes=tuple(sorted({*runtimes, *(("llama.cpp",) if file_format is FileFormat.GGUF else ())})),
    )


def _weight_bytes(build: Build, model: Model) -> Figure:
    if build.bytes is not None:
        note = f"size printed by {build.size_source}"
        return Figure(value=build.bytes, unit=Unit.BYTES, basis=Basis.PUBLISHED, note=note)
    if build.bits is not None:
        value = round(model.parameters * build.bits / 8)
        note = f"{build.bits:g} bits per weight printed by {build.size_source}, times the exact count"
        return Figure(value=value, unit=Unit.BYTES, basis=Basis.PUBLISHED, note=note)
    return modelled_weight_bytes(model.architecture, build.scheme)


def evaluation(score: Score, citations: Citations) -> Evaluation:
    """Return the evaluation of `score`. Its losses have no interval: published scores come without their items."""
    source = citations.source(score.source, of=score.variant)
    better = not score.lower_is_better
    key = _key(score.task, score.metric, score.protocol)
    evaluation_id = f"{PUBLISHED}{score.variant}#{source.id}/{key}"
    model = score.variant.partition("/")[0]
    return Evaluation(
        id=evaluation_id,
        variant_id=PUBLISHED + score.variant,
        task=score.task,
        metric=score.metric,
        higher_is_better=better,
        basis=Basis.PUBLISHED,
        baseline_score=score.baseline,
        variant_score=score.score,
        relative_loss=Figure(
            value=relative_loss(score.baseline, score.score, higher_is_better=better),
            unit=Unit.RATIO,
            basis=Basis.PUBLISHED,
            evidence=(evaluation_id,),
        ),
        absolute_loss=Figure(
            value=absolute_loss(score.baseline, score.score),
            unit=Unit.POINTS,
            basis=Basis.PUBLISHED,
            evidence=(evaluation_id,),
        )
        if better
        else None,
        baseline_variant_id=f"{PUBLISHED}{model}/{score.against}" if score.against else None,
        baseline_label=score.label,
        fidelity=_fidelity(score, evaluation_id),
        protocol="; ".join(text for text in (score.protocol, source.accuracy) if text) or None,
        citation=source.citation,
        doubt=score.doubt,
    )


def _fidelity(score: Score, evaluation_id: str) -> Fidelity | None:
    if score.kl is None:
        return None
    interval: Interval | None = None
    if score.kl_error is not None:
        half = _Z90 * score.kl_error
        interval = Interval(lo=score.kl - half, hi=score.kl + half, confidence=0.9)
    return Fidelity(
        kl_mean=Figure(
            value=score.kl,
            unit=Unit.NATS,
            basis=Basis.PUBLISHED,
            interval=interval,
            evidence=(evaluation_id,),
            note="interval from the printed standard error" if interval else None,
        )
    )


def profile(run: Run, citations: Citations) -> Profile:
    """Return the profile of `run`; its figures are means, since the sources print no percentiles."""
    source = citations.source(run.source, of=run.variant)
    engine = _key(run.runtime.name, run.runtime.version, run.runtime.mode, run.kernel)
    count = f"x{run.devices}" if run.devices > 1 else ""
    named = _key(run.as_named)
    if run.doubt:
        # One source may give some points of a run with a doubt and others without.
        named += f"/doubted-{hashlib.sha256(run.doubt.encode()).hexdigest()[:6]}"
    return Profile(
        id=f"{PUBLISHED}{run.variant}@{run.device}{count}/{engine}#{source.id}/{named}",
        variant_id=PUBLISHED + run.variant,
        device_id=run.device,
        runtime=msgspec.structs.replace(run.runtime, name=canonical(run.runtime.name)),
        basis=Basis.PUBLISHED,
        points=tuple(_point(point, run.samples) for point in run.points),
        devices=run.devices,
        kernel=run.kernel,
        environment=Environment(device_name=run.as_named, versions=run.versions),
        citation=source.citation,
        protocol=source.speed,
        doubt=run.doubt,
    )


def _point(point: Point, samples: int) -> ProfilePoint:
    def mean(value: float | None) -> Distribution | None:
        return None if value is None else Distribution(samples=samples, mean=value)

    return ProfilePoint(
        workload=Workload(input_tokens=point.tokens_in, output_tokens=point.out, concurrency=point.at),
        ttft_seconds=mean(point.ttft),
        tpot_seconds=mean(point.tpot),
        end_to_end_seconds=mean(point.e2e),
        output_tokens_per_second=mean(point.rate),
        memory=MemoryUse(
            peak_allocated_bytes=point.allocated,
            peak_reserved_bytes=point.reserved,
            held_bytes=point.held,
            peak_device_bytes=point.device,
            peak_rss_bytes=point.rss,
        ),
    )
