"""Importing: other tools' result files become evidence, and the files themselves are kept by their sha256."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from planner.domain.evaluation import Evaluation
from planner.domain.profile import Profile
from planner.domain.runtime import Runtime, canonical
from planner.domain.variant import Variant
from planner.errors import InvalidInput, NotFound
from planner.ingest import binding, pairing
from planner.ingest.binding import Asked, File, Subject
from planner.ingest.combining import combine
from planner.ingest.imported import Finding, Imported
from planner.ingest.lints.provenance import ask_for_variant
from planner.ingest.recognition import read
from planner.ingest.source import Source
from planner.registry import devices, evaluations, variants
from planner.registry.transaction import Transaction
from planner.wire.imports import MAX_FILES, ImportOptions, ImportReport, ResultFile, StoredEvidence
from planner.workspace.recording import Recording

MAX_TASKS_LOOKED_UP: Final = 50
"""Tasks whose stored scores of other variants are compared for equality (lint L1)."""


class Importing(Recording):
    """Implements `planner.wire.service.Importing`."""

    def import_results(self, files: Sequence[ResultFile], options: ImportOptions) -> ImportReport:
        """Read, judge, keep and register result files; everything is refused before anything is stored."""
        if len(files) > MAX_FILES:
            raise InvalidInput("file", f"{len(files)} files are too many", allowed=f"at most {MAX_FILES}")
        mine = combine([read(f.content, f.name) for f in files if not f.of_baseline])
        others = [read(f.content, f.name) for f in files if f.of_baseline]
        base = combine(others) if others else None
        kept = tuple(
            File(name=source.name, sha256=source.sha256, size=len(source.content))
            for source in (Source(f.name, f.content) for f in files)
        )
        findings = list(mine.findings)
        findings += [
            msgspec.structs.replace(finding, message=f"baseline: {finding.message}")
            for finding in (base.findings if base else ())
        ]
        name = ask_for_variant(options.variant)
        with self.registry.read() as tx:
            variant = variants.get(tx, name)
            baseline = variants.get(tx, options.baseline) if options.baseline else None
            if baseline is not None and baseline.id == variant.id:
                raise InvalidInput(
                    "baseline", "is the variant itself", allowed="the variant it is held against"
                )
            profiles = _profiles(
                tx, mine, base, variant=variant, options=options, kept=kept, findings=findings
            )
            made = _evaluations(
                tx, mine, base, variant=variant, baseline=baseline, kept=kept, findings=findings
            )
        if not profiles and not made and not findings:
            raise InvalidInput("file", "holds nothing that can be stored", allowed="times, memory or scores")
        stored = self._store(files, kept, profiles, made, dry_run=options.dry_run)
        return ImportReport(
            format=mine.format,
            tool=mine.tool,
            variant_id=variant.id,
            baseline_variant_id=baseline.id if baseline else None,
            files=kept,
            findings=tuple(dict.fromkeys(findings)),
            profiles=profiles,
            evaluations=tuple(msgspec.structs.replace(e, documents=(), outcomes=()) for e in made),
            stored=stored,
            dry_run=options.dry_run,
        )

    def _store(
        self,
        files: Sequence[ResultFile],
        kept: tuple[File, ...],
        profiles: tuple[Profile, ...],
        made: tuple[Evaluation, ...],
        *,
        dry_run: bool,
    ) -> tuple[StoredEvidence, ...]:
        stored: list[StoredEvidence] = []
        if not dry_run and (profiles or made):
            for file, record in zip(files, kept, strict=True):
                self.upload([file.content], sha256=record.sha256, size=record.size)
        for profile in profiles:
            created = not dry_run and self.submit_profile(profile).created
            stored.append(StoredEvidence(kind="profile", id=profile.id, created=created))
        for evaluation in made:
            created = not dry_run and self.submit_evaluation(evaluation).created
            stored.append(StoredEvidence(kind="evaluation", id=evaluation.id, created=created))
        return tuple(stored)


def parse_runtime(text: str | None) -> Runtime | None:
    """Return the runtime written as "name version mode", the last two optional. Raises InvalidInput."""
    if text is None:
        return None
    parts = text.split()
    if not 1 <= len(parts) <= 3 or len(text) > 200 or not text.isprintable():
        raise InvalidInput(
            "runtime",
            f"`{text[:80]}` is not a runtime",
            allowed="name, version and mode, such as `vllm 0.33.0`",
        )
    return Runtime(
        name=canonical(parts[0]),
        version=parts[1] if len(parts) > 1 else None,
        mode=parts[2] if len(parts) > 2 else None,
    )


def _subject(variant: Variant) -> Subject:
    return Subject(
        variant_id=variant.id, weight_bytes=int(variant.weight_bytes.value), bits=variant.effective_bits
    )


def _device(tx: Transaction, named: str | None, written: str | None) -> str | None:
    """Return the id of the device that was named, or that the file writes by a name the registry knows."""
    if named is not None:
        return devices.get(tx, named).id
    if written is None:
        return None
    try:
        return devices.get(tx, written).id
    except (NotFound, InvalidInput):
        return None


def _profiles(
    tx: Transaction,
    mine: Imported,
    base: Imported | None,
    *,
    variant: Variant,
    options: ImportOptions,
    kept: tuple[File, ...],
    findings: list[Finding],
) -> tuple[Profile, ...]:
    result: list[Profile] = []
    note = binding.compare_lengths(mine.profiles, base.profiles, findings) if base else None
    for draft in mine.profiles:
        asked = Asked(
            device_id=_device(tx, options.device, draft.device_name),
            runtime=parse_runtime(options.runtime),
            input_tokens=options.input_tokens,
            output_tokens=options.output_tokens,
            concurrency=options.concurrency,
            devices=options.devices,
        )
        doubted = msgspec.structs.replace(draft, doubt=draft.doubt or note)
        result.append(
            binding.profile(
                doubted, mine, subject=_subject(variant), asked=asked, files=kept, findings=findings
            )
        )
    return tuple(result)


def _evaluations(
    tx: Transaction,
    mine: Imported,
    base: Imported | None,
    *,
    variant: Variant,
    baseline: Variant | None,
    kept: tuple[File, ...],
    findings: list[Finding],
) -> tuple[Evaluation, ...]:
    if not mine.scores and not mine.losses:
        return ()
    if baseline is None:
        raise InvalidInput(
            "baseline",
            "loss is held against the variant's own baseline, and the file does not say which one that is",
            allowed="the id or name of the variant that the baseline's run was of",
        )
    if variant.model_id != baseline.model_id:
        raise InvalidInput(
            "baseline",
            f"is a build of {baseline.model_id}, not of {variant.model_id}",
            allowed="the same base model",
        )
    result = [pairing.compared(draft, mine, _subject(variant), baseline.id, kept) for draft in mine.losses]
    if mine.scores:
        if base is None or not base.scores:
            raise InvalidInput(
                "baseline_file",
                "scores of one run are no loss",
                allowed="the results of the baseline's run, made alike",
            )
        result += pairing.evaluations(
            mine,
            base,
            _subject(variant),
            baseline.id,
            files=kept,
            findings=findings,
            others=_known_scores(tx, mine, variant, baseline),
        )
    return tuple(result)


def _known_scores(
    tx: Transaction, mine: Imported, variant: Variant, baseline: Variant
) -> dict[str, dict[tuple[str, str], float]]:
    """Return the stored scores of other builds of the model on the same tasks, by what they are called."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    for task in dict.fromkeys(score.task for score in mine.scores[:MAX_TASKS_LOOKED_UP]):
        for evaluation in evaluations.page(tx, task=task, limit=200).items:
            if evaluation.variant_id not in {variant.id, baseline.id}:
                scores = found.setdefault(f"variant {evaluation.variant_id}", {})
                scores[evaluation.task, evaluation.metric] = evaluation.variant_score
    return found
