"""What a registration did, for a person, for a program, and for the pipeline it runs in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from rich.text import Text

from planner.cli.render.tables import listing
from planner.cli.session import console
from planner.domain.alias import Alias
from planner.domain.units import format_bytes
from planner.domain.variant import Artifact, Variant
from planner.errors import Unavailable
from planner.ingest.imported import Finding
from planner.wire.imports import ImportReport, StoredEvidence
from planner.wire.replies import Registration


class RegisterReport(msgspec.Struct, frozen=True, kw_only=True):
    """One registration, as `planner register --json` prints it on one line."""

    digest: str
    version: str
    """The commit by which stock clients fetch it: 40 hexadecimal digits of the digest."""
    name: str | None
    """"MODEL/VARIANT"."""
    created: bool
    model_created: bool
    blobs_uploaded: int
    bytes_uploaded: int
    bytes_skipped: int
    url: str | None
    """Where the server shows it; None without a server."""
    alias: str | None
    evidence: tuple[StoredEvidence, ...]
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]
    missing: tuple[str, ...]
    dry_run: bool
    variant: Variant | None
    """In full; None in a dry run on a server that lacks some of the files."""


def report_of(
    done: Registration, imports: Iterable[ImportReport], *, alias: Alias | None, server: str | None
) -> RegisterReport:
    """Return the report of a registration with what came of its results and its alias."""
    imports = tuple(imports)
    variant = done.variant
    return RegisterReport(
        digest=done.digest,
        version=done.digest.removeprefix("sha256:")[:40],
        name=None if variant is None else f"{variant.model_id}/{variant.name}",
        created=done.created,
        model_created=done.model_created,
        blobs_uploaded=done.files_new,
        bytes_uploaded=done.bytes_new,
        bytes_skipped=max(0, done.bytes_total - done.bytes_new),
        url=None if server is None else f"{server.rstrip('/')}/variants/{done.digest}",
        alias=None if alias is None else alias.name,
        evidence=tuple(item for each in imports for item in each.stored),
        findings=tuple(finding for each in imports for finding in each.findings),
        warnings=done.warnings,
        missing=done.missing,
        dry_run=done.dry_run,
        variant=variant,
    )


def verdict(report: RegisterReport) -> str:
    """Return in two or three words what happened."""
    if report.dry_run:
        return "would register" if report.created else "is registered already"
    return "registered" if report.created else "already registered"


def print_registration(report: RegisterReport, artifacts: tuple[Artifact, ...]) -> None:
    """Print what happened, or, with the `artifacts` of a dry run, the plan."""
    out = console()
    out.print(Text(f"{verdict(report)}: ", style="bold") + Text(report.digest), soft_wrap=True)
    variant = report.variant
    if variant is not None:
        bits = f", {variant.effective_bits:.3g} bits/weight" if variant.effective_bits else ""
        out.print(
            Text(
                f"  {variant.name}: {variant.scheme.name} of {variant.model_id}, weights {variant.weight_bytes}{bits}"
            )
        )
    if report.dry_run and artifacts:
        table = listing(("file", "size", ""))
        lacking = set(report.missing)
        for artifact in artifacts:
            state = "to be uploaded" if artifact.sha256 in lacking else "there"
            table.add_row(Text(artifact.path), format_bytes(artifact.size), state)
        out.print(table)
    verb = "to upload" if report.dry_run else "uploaded"
    total = report.bytes_uploaded + report.bytes_skipped
    out.print(
        f"  {format_bytes(report.bytes_uploaded)} of {format_bytes(total)} {verb}, {report.blobs_uploaded} files"
    )
    if report.model_created:
        out.print("  its architecture was not known: a new model was added")
    if report.alias:
        out.print(f"  alias {report.alias} points at it")
    if report.url:
        out.print(Text(f"  {report.url}"), soft_wrap=True)
    for warning in report.warnings:
        out.print(Text("note: ", style="yellow") + Text(warning))


def write_for_pipeline(report: RegisterReport, environ: Mapping[str, str] | None = None) -> None:
    """Append outputs to $GITHUB_OUTPUT and a table to $GITHUB_STEP_SUMMARY, where these are set. Raises Unavailable."""
    environ = os.environ if environ is None else environ
    if outputs := environ.get("GITHUB_OUTPUT"):
        fields = {
            "digest": report.digest,
            "version": report.version,
            "variant": report.name or "",
            "created": str(report.created).lower(),
            "blobs_uploaded": report.blobs_uploaded,
            "bytes_uploaded": report.bytes_uploaded,
            "bytes_skipped": report.bytes_skipped,
            "url": report.url or "",
            "alias": report.alias or "",
        }
        _append(Path(outputs), "".join(f"{key}={value}\n" for key, value in fields.items()))
    if summary := environ.get("GITHUB_STEP_SUMMARY"):
        _append(Path(summary), _markdown(report))


def _markdown(report: RegisterReport) -> str:
    variant = report.variant
    rows = [
        (
            "variant",
            f"[{_cell(report.name or '')}]({report.url})" if report.url else _cell(report.name or ""),
        ),
        ("digest", f"`{report.digest}`"),
        ("scheme", _cell(variant.scheme.name) if variant else ""),
        ("weights", _cell(str(variant.weight_bytes)) if variant else ""),
        ("uploaded", f"{format_bytes(report.bytes_uploaded)} in {report.blobs_uploaded} files"),
        ("there already", format_bytes(report.bytes_skipped)),
        ("alias", _cell(report.alias or "")),
        ("evidence", f"{len(report.evidence)} records" if report.evidence else ""),
    ]
    lines = [f"### Variant {verdict(report)}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows if value]
    lines += [
        "",
        *(f"- {finding.level.value} {finding.lint}: {_cell(finding.message)}" for finding in report.findings),
    ]
    lines += [f"- note: {_cell(warning)}" for warning in report.warnings]
    return "\n".join(lines).rstrip() + "\n\n"


def _cell(text: str) -> str:
    """Return `text` so that Markdown shows it as it is."""
    flat = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!~&" else c for c in flat)


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}") from error
