"""A gate's report as SARIF 2.1.0 (OASIS, 2020), which code hosts show beside the policy's lines.

Each check is a result: kind "fail" with level "error" where it fails, "open" where the evidence does not decide, "notApplicable"
where it was not judged, "pass" otherwise; all but "fail" have level "none", as the specification asks (3.27.10).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import msgspec

import planner
from planner.cli.render.gate import found_text
from planner.gate.report import CheckKind, CheckState, GateCheck, GateReport

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_RULES: Final = {
    CheckKind.SCREEN: "Fidelity to the base",
    CheckKind.TASK: "Loss on a task",
    CheckKind.LATENCY: "Latency",
    CheckKind.MEMORY: "Memory",
}
_KINDS: Final = {
    CheckState.PASS: "pass",
    CheckState.FAIL: "fail",
    CheckState.SKIPPED: "notApplicable",
}


def sarif(report: GateReport, *, uri: str, line_of: Callable[[str], int | None]) -> str:
    """Return the JSON document; `uri` is the policy file's, `line_of` says where a rule stands in it."""
    kinds = list(dict.fromkeys(check.kind for check in report.checks))
    document = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "planner gate",
                        "version": planner.__version__,
                        "rules": [
                            {
                                "id": f"gate/{kind.value}",
                                "name": kind.value.capitalize(),
                                "shortDescription": {"text": _RULES[kind]},
                                "defaultConfiguration": {"level": "error"},
                            }
                            for kind in kinds
                        ],
                    }
                },
                "automationDetails": {"id": f"planner-gate/{report.policy.name or 'policy'}/"},
                "invocations": [
                    {
                        "executionSuccessful": report.exit_code != 1,
                        "exitCode": report.exit_code,
                        "endTimeUtc": f"{report.judged_at:%Y-%m-%dT%H:%M:%SZ}",
                    }
                ],
                "columnKind": "unicodeCodePoints",
                "results": [
                    _result(check, report, kinds.index(check.kind), uri=uri, line_of=line_of)
                    for check in report.checks
                ],
                "properties": {
                    "gate": report.id,
                    "variant": report.variant_id,
                    "verdict": report.verdict.value,
                    "sentence": report.sentence,
                },
            }
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _result(
    check: GateCheck, report: GateReport, rule: int, *, uri: str, line_of: Callable[[str], int | None]
) -> dict[str, Any]:
    kind = _KINDS.get(check.state, "open")
    line = line_of(check.field) if check.field is not None else None
    text = (
        f"{report.name}, {check.name}: {check.state.value}. {check.reason} (asked: {check.rule}; found: "
        f"{found_text(check)})"
    )
    same = f"{report.model_id}|{check.kind.value}|{check.name}|{check.rule}"
    return {
        "ruleId": f"gate/{check.kind.value}",
        "ruleIndex": rule,
        "kind": kind,
        "level": "error" if kind == "fail" else "none",
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(uri)},
                    "region": {"startLine": line or 1},
                }
            }
        ],
        "partialFingerprints": {"check/v1": hashlib.sha256(same.encode()).hexdigest()},
        "properties": {
            name: value
            for name, value in (
                ("state", check.state.value),
                ("more", check.more),
                ("size", check.size),
                ("evidence", list(check.evidence)),
            )
            if value is not None
        },
    }
