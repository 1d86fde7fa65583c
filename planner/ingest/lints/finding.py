"""How a lint speaks: a finding with its code, added to the list of the file."""

from __future__ import annotations

from planner.ingest.imported import Finding, Level


def warn(findings: list[Finding], lint: str, message: str) -> None:
    """Add a warning once."""
    _add(findings, Finding(lint=lint, level=Level.WARNING, message=message))


def refuse(findings: list[Finding], lint: str, message: str) -> None:
    """Add a refusal once."""
    _add(findings, Finding(lint=lint, level=Level.REFUSAL, message=message))


def _add(findings: list[Finding], finding: Finding) -> None:
    if finding not in findings:
        findings.append(finding)
