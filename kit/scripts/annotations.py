"""Says what a command reported where people look: as annotations on GitHub, as lines elsewhere. Standard library only.

Arguments: register or gate, the file with the command's JSON, the file with its errors, and its exit status.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def escaped(text: str, *, prop: bool = False) -> str:
    """Return `text` as data, or as a property, of a workflow command."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if prop else text


def say(level: str, title: str, message: str) -> None:
    """Print one remark: level is notice, warning or error."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print(f"::{level} title={escaped(title, prop=True)}::{escaped(message)}")
    else:
        print(f"{level}: {title}: {' '.join(message.split())}")


def of_registration(report: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what is to be said of a registration."""
    verb = (
        "would be registered" if report["dry_run"] else "registered" if report["created"] else "there already"
    )
    travelled = f"{report['bytes_uploaded']} bytes uploaded, {report['bytes_skipped']} there already"
    yield "notice", verb, f"{report['name'] or ''} {report['digest']}: {travelled}".strip()
    for finding in report["findings"]:
        level = "error" if finding["level"] == "refusal" else "warning"
        yield level, f"result {finding['lint']}", finding["message"]
    for warning in report["warnings"]:
        yield "warning", "registration", warning


def of_gate(report: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what is to be said of a gate."""
    level = {"pass": "notice", "fail": "error"}.get(report["verdict"], "warning")
    yield level, f"gate: {report['verdict']}", report["sentence"]
    for effect in report.get("effects", ()):
        if not effect["done"]:
            yield "error", "gate: effect", f"{effect['kind']}: {effect['detail']}"


def write_outputs(values: dict[str, str]) -> None:
    """Append outputs of the step."""
    if path := os.environ.get("GITHUB_OUTPUT"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(f"{name}={' '.join(value.split())}\n" for name, value in values.items())


def main(kind: str, report_file: str, error_file: str, status: str) -> None:
    """Say everything; what cannot be read is passed on as it is."""
    errors = Path(error_file).read_text(encoding="utf-8", errors="replace").strip()
    try:
        report: dict[str, Any] = json.loads(Path(report_file).read_text(encoding="utf-8"))
        remarks = list((of_gate if kind == "gate" else of_registration)(report))
    except (ValueError, KeyError, TypeError):
        report, remarks = {}, []
    for remark in remarks:
        say(*remark)
    if kind == "gate" and report:
        write_outputs(
            {
                "verdict": str(report.get("verdict", "")),
                "sentence": str(report.get("sentence", "")),
                "id": str(report.get("id", "")),
            }
        )
    if errors and (status != "0" or not report):
        try:
            message = str(json.loads(errors.splitlines()[-1])["error"]["message"])
        except (ValueError, KeyError, TypeError):
            message = errors[-2000:]
        say("error" if status != "0" else "warning", f"planner {kind}", message)


if __name__ == "__main__":
    main(*sys.argv[1:5])
