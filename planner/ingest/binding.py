"""Binding: drafts become evidence once it is said which variant, device, engine and workload they are about."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from planner.domain.evaluation import Evaluation
from planner.domain.figure import Basis
from planner.domain.profile import Distribution, Environment, Fact, Profile, ProfilePoint
from planner.domain.runtime import Runtime
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from planner.ingest.imported import Finding, Imported, Load, ProfileDraft, Timing
from planner.ingest.lints import accuracy, memory, provenance

E = TypeVar("E", Profile, Evaluation)


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The registered variant that results are about."""

    variant_id: str
    weight_bytes: int | None = None
    bits: float | None = None
    """Effective bits per weight."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the submitter says, where files do not."""

    device_id: str | None = None
    runtime: Runtime | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    concurrency: int | None = None
    devices: int | None = None


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file that evidence was read from, as it is kept."""

    name: str
    sha256: str
    size: int


def profile(
    draft: ProfileDraft,
    imported: Imported,
    *,
    subject: Subject,
    asked: Asked,
    files: tuple[File, ...],
    findings: list[Finding],
) -> Profile:
    """Return the profile of a draft. Raises InvalidInput naming the option for what nobody said."""
    if asked.device_id is None:
        says = f"; the file writes `{draft.device_name}`" if draft.device_name else ""
        raise InvalidInput(
            "device",
            f"the file does not name a device that is registered{says}",
            allowed="the id of a device type: `planner devices` lists them",
        )
    runtime = provenance.ask_for_engine(draft.runtime, asked.runtime)
    memory.contradicts_weights(findings, file_bytes=draft.model_bytes, weight_bytes=subject.weight_bytes)
    timings = draft.timings or (Timing(load=Load(), memory=imported.memory or Timing(load=Load()).memory),)
    return with_id(
        Profile(
            id="",
            variant_id=subject.variant_id,
            device_id=asked.device_id,
            runtime=runtime,
            basis=Basis.IMPORTED,
            points=tuple(_point(timing, asked) for timing in timings),
            devices=asked.devices or draft.devices or 1,
            synthetic_weights=draft.synthetic_weights,
            environment=Environment(
                device_name=draft.device_name,
                versions=draft.versions,
                facts={**draft.facts, **_model(draft), **source_facts(imported, files)},
            ),
            protocol=draft.protocol,
            measured_at=draft.measured_at or imported.measured_at,
            doubt=draft.doubt,
        )
    )


def _model(draft: ProfileDraft) -> dict[str, Fact]:
    return {"model_name_in_file": draft.model_name} if draft.model_name else {}


def source_facts(imported: Imported, files: tuple[File, ...]) -> dict[str, Fact]:
    """Return what leads from evidence back to the files it was read from."""
    facts: dict[str, Fact] = {"imported_from": imported.tool, "imported_format": imported.format}
    for i, file in enumerate(files):
        suffix = f"_{i + 1}" if len(files) > 1 else ""
        facts[f"source_sha256{suffix}"] = file.sha256
        facts[f"source_name{suffix}"] = file.name
    return facts


def with_id(evidence: E) -> E:
    """Return evidence named by its own content, so that importing the same file again changes nothing."""
    digest = hashlib.sha256(msgspec.json.encode(evidence, order="deterministic")).hexdigest()
    return msgspec.structs.replace(evidence, id=f"imported:{digest[:32]}")


def workload(load: Load, asked: Asked) -> Workload:
    """Return the workload point from file and submitter. Raises InvalidInput naming the option for what is missing."""
    values: dict[str, int] = {}
    for name in ("input_tokens", "output_tokens", "concurrency"):
        found: int | None = getattr(load, name)
        said: int | None = getattr(asked, name)
        if found is not None and said is not None and found != said and name != "concurrency":
            raise InvalidInput(name, f"{said} contradicts the file, which says {found}", allowed=str(found))
        value = said if said is not None and (found is None or name == "concurrency") else found
        if value is None:
            raise InvalidInput(
                name,
                "the file does not say it, and a time without its workload says nothing",
                allowed="a whole number, as the tool was told",
            )
        values[name] = value
    total = load.tokens_per_request
    if total is not None and abs(values["input_tokens"] + values["output_tokens"] - total) > 0.02 * total:
        raise InvalidInput(
            "input_tokens",
            f"{values['input_tokens']} in and {values['output_tokens']} out are not the {total:g} tokens a request of the file",
            allowed=f"lengths that add up to {total:g}",
        )
    return Workload(**values)


def _point(timing: Timing, asked: Asked) -> ProfilePoint:
    at = workload(timing.load, asked)
    rate = timing.output_rate
    if rate is None and timing.request_rate is not None:
        per_second = timing.request_rate.mean * at.output_tokens
        rate = Distribution(samples=timing.request_rate.samples, mean=per_second)
    return ProfilePoint(
        workload=at,
        ttft_seconds=timing.ttft,
        tpot_seconds=timing.tpot,
        itl_seconds=timing.itl,
        end_to_end_seconds=timing.end_to_end,
        output_tokens_per_second=rate,
        requests_per_second=timing.request_rate,
        error_share=timing.error_share,
        memory=timing.memory,
        stability=timing.stability,
        facts={key: value for key, value in timing.facts.items() if value is not None},
    )


def compare_lengths(
    variant: tuple[ProfileDraft, ...], baseline: tuple[ProfileDraft, ...], findings: list[Finding]
) -> str | None:
    """L16 for speed: return a note when the variant's requests were shorter than the baseline's at the same load."""
    lengths: Mapping[tuple[int | None, int | None], int] = {
        (t.load.input_tokens, t.load.concurrency): t.load.output_tokens
        for draft in baseline
        for t in draft.timings
        if t.load.output_tokens
    }
    note: str | None = None
    for draft in variant:
        for timing in draft.timings:
            base = lengths.get((timing.load.input_tokens, timing.load.concurrency))
            if base and timing.load.output_tokens:
                ratio = timing.load.output_tokens / base
                note = accuracy.shortened(findings, f"concurrency {timing.load.concurrency}", ratio) or note
    return note
