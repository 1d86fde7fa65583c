"""Registration: files become a variant whose facts come from the files themselves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from planner.artifacts.inspection import Inspection, inspect
from planner.artifacts.store import BlobStore
from planner.domain.figure import Basis, exact
from planner.domain.scheme import Scheme
from planner.domain.scheme_label import check_claim, check_name
from planner.domain.units import Unit
from planner.domain.variant import Artifact, Variant, manifest_digest
from planner.errors import Conflict, InvalidInput, NotFound
from planner.registry import Registry, blobs, models, variants
from planner.registry.transaction import Transaction, WriteTransaction
from planner.wire import acting
from planner.wire.replies import Registration
from planner.wire.requests import Manifest
from planner.workspace.attribution import check_confines, note_registration
from planner.workspace.matching import Match, is_match, match_model
from planner.workspace.returning import check_held, take_back


def register_manifest(
    registry: Registry, store: BlobStore, manifest: Manifest, *, now: datetime
) -> Registration:
    """Register files whose bytes are in `store`, or, in a dry run, say what would happen.

    Raises Conflict naming missing bytes, InvalidInput for labels and models the files contradict, UnsafeFile for
    formats that can run code.
    """
    digest = manifest_digest(manifest.artifacts)
    missing = _missing(store, manifest.artifacts)
    known = _known(registry, digest)
    if known is not None:
        _check_labels(manifest, known.scheme)
        kept = _kept(registry, manifest, known)
        if not missing or manifest.dry_run:
            if not manifest.dry_run:
                _note_again(registry, known, now=now)
            kept += take_back(registry, store, known, dry_run=manifest.dry_run, now=now)
            return reply(manifest, known, created=False, missing=missing, warnings=kept)
    if missing and not manifest.dry_run:
        raise Conflict(
            f"the bytes of {len(missing)} files are not in the store; upload them first",
            missing=list(missing),
        )
    if missing:
        return reply(manifest, None, created=True, missing=missing)
    files = {artifact.path: path for artifact in manifest.artifacts if (path := store.path(artifact.sha256))}
    return register_inspected(registry, manifest, inspect(files), now=now, store=store)


def register_inspected(
    registry: Registry,
    manifest: Manifest,
    inspection: Inspection,
    *,
    now: datetime,
    missing: tuple[str, ...] = (),
    store: BlobStore | None = None,
) -> Registration:
    """Register files that were inspected. `missing` are digests whose bytes a real run would store first.

    With `store` the files are looked for once more at the moment they begin to be needed. Raises Conflict then.
    """
    _check_labels(manifest, inspection.scheme)
    if manifest.dry_run:
        with registry.read() as tx:
            match = _match(tx, manifest, inspection)
            variant = _variant(tx, manifest, inspection, match, now=now)
        created = _known(registry, variant.id) is None
    else:
        with registry.write() as tx:
            match = _match(tx, manifest, inspection)
            variant, created = _write(tx, manifest, inspection, match, now=now)
            if store is not None:
                check_held(store, variant.artifacts)
    return reply(
        manifest,
        variant,
        created=created,
        missing=missing,
        model_created=match.created,
        warnings=(*inspection.warnings, *match.warnings),
    )


def reply(
    manifest: Manifest,
    variant: Variant | None,
    *,
    created: bool,
    missing: tuple[str, ...] = (),
    model_created: bool = False,
    warnings: tuple[str, ...] = (),
) -> Registration:
    """Return what registering `manifest` did or would do."""
    sizes = {artifact.sha256: artifact.size for artifact in manifest.artifacts}
    return Registration(
        digest=manifest_digest(manifest.artifacts),
        created=created,
        variant=variant,
        model_created=model_created,
        bytes_total=sum(artifact.size for artifact in manifest.artifacts),
        bytes_new=sum(sizes[sha256] for sha256 in missing),
        files_new=len(missing),
        missing=missing,
        warnings=warnings,
        dry_run=manifest.dry_run,
    )


def stored(done: Registration, *, bytes_new: int, files_new: int) -> Registration:
    """Return `done` with what was stored before the manifest was registered."""
    return msgspec.structs.replace(done, bytes_new=bytes_new, files_new=files_new)


def inspect_folder(directory: Path, artifacts: tuple[Artifact, ...]) -> Inspection:
    """Return what the files of a folder hold, before they are stored anywhere."""
    files: Mapping[str, Path] = {artifact.path: directory / artifact.path for artifact in artifacts}
    return inspect(files)


def _check_labels(manifest: Manifest, scheme: Scheme) -> None:
    if manifest.scheme is not None:
        check_claim(manifest.scheme, scheme)
    if manifest.name is not None:
        check_name(manifest.name, scheme)


def _kept(registry: Registry, manifest: Manifest, known: Variant) -> tuple[str, ...]:
    """Return what was asked of a variant that is registered already and does not come about."""
    kept: list[str] = []
    if manifest.model is not None:
        with registry.read() as tx:
            if not is_match(tx, known.model_id, wanted=manifest.model):
                kept.append(f"kept the model {known.model_id} of the first registration")
    if manifest.name is not None and manifest.name != known.name:
        kept.append(f"kept the name {known.name} of the first registration")
    return tuple(kept)


def _note_again(registry: Registry, known: Variant, *, now: datetime) -> None:
    check_confines(known)
    if acting.current() is not None:
        with registry.write() as tx:
            note_registration(tx, known.id, created=False, now=now)


def _missing(store: BlobStore, artifacts: tuple[Artifact, ...]) -> tuple[str, ...]:
    missing: dict[str, None] = {}
    for number, artifact in enumerate(artifacts):
        size = store.size(artifact.sha256) if store.touch(artifact.sha256) else None
        if size is None:
            missing[artifact.sha256] = None
        elif size != artifact.size:
            raise InvalidInput(
                f"artifacts[{number}].size",
                f"{artifact.size} is not the size of the file with this sha256",
                allowed=str(size),
            )
    return tuple(missing)


def _known(registry: Registry, digest: str) -> Variant | None:
    with registry.read() as tx:
        try:
            return variants.get(tx, digest)
        except NotFound:
            return None


def _match(tx: Transaction, manifest: Manifest, inspection: Inspection) -> Match:
    return match_model(
        tx,
        inspection,
        wanted=manifest.model,
        base_variant=manifest.provenance.base_variant_id,
        name=manifest.name,
    )


def _variant(
    tx: Transaction, manifest: Manifest, inspection: Inspection, match: Match, *, now: datetime
) -> Variant:
    digest = manifest_digest(manifest.artifacts)
    return Variant(
        id=digest,
        model_id=match.model.id,
        name=manifest.name or _free_name(tx, match, inspection.scheme.name, digest),
        scheme=inspection.scheme,
        file_format=inspection.file_format,
        weight_bytes=exact(inspection.weight_bytes, Unit.BYTES, basis=Basis.MEASURED, evidence=(digest,)),
        parameters=inspection.parameters,
        effective_bits=inspection.effective_bits,
        artifacts=tuple(sorted(manifest.artifacts)),
        provenance=manifest.provenance,
        runtimes=manifest.runtimes,
        created_at=now,
    )


def _free_name(tx: Transaction, match: Match, name: str, digest: str) -> str:
    try:
        taken = not match.created and variants.get(tx, f"{match.model.id}/{name}").id != digest
    except NotFound:
        return name
    except InvalidInput:
        taken = True
    return f"{name}-{digest[7:15]}" if taken else name


def _write(
    tx: WriteTransaction, manifest: Manifest, inspection: Inspection, match: Match, *, now: datetime
) -> tuple[Variant, bool]:
    if match.created:
        models.put(tx, match.model, source="registered")
    offered = _variant(tx, manifest, inspection, match, now=now)
    check_confines(offered)
    variant, created = variants.register(tx, offered)
    note_registration(tx, variant.id, created=created, now=now)
    for artifact in variant.artifacts:
        blobs.record(tx, artifact.sha256, artifact.size)
    return variant, created
