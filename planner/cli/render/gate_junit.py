"""A gate's report as JUnit XML, which every CI system shows: a fail is a failure, what is not decided is an error.

Written to the form of the Ant task's schema (testsuites, testsuite, testcase with at most one of failure, error, skipped), as
Jenkins and GitLab read it.
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree as ET

from planner.cli.render.gate import found_text
from planner.gate.report import CheckState, GateCheck, GateReport

_ILLEGAL: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""


def junit(report: GateReport) -> str:
    """Return the XML document."""
    states = [check.state for check in report.checks]
    failures, skipped = states.count(CheckState.FAIL), states.count(CheckState.SKIPPED)
    undecided = len(states) - failures - skipped - states.count(CheckState.PASS)
    counts = {
        "tests": str(len(states)),
        "failures": str(failures),
        "errors": str(undecided),
        "time": "0",
    }
    root = ET.Element("testsuites", {"name": "planner gate", **counts})
    name = f"gate {report.policy.name or 'policy'}: {report.name} against {report.against}"
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": _clean(name),
            **counts,
            "skipped": str(skipped),
            "timestamp": f"{report.judged_at:%Y-%m-%dT%H:%M:%S}",
        },
    )
    properties = ET.SubElement(suite, "properties")
    for key, value in (
        ("gate", report.id),
        ("variant", report.variant_id),
        ("verdict", report.verdict.value),
        ("sentence", report.sentence),
        *((f"floor.{raised.field}", raised.floor) for raised in report.raised),
    ):
        ET.SubElement(properties, "property", {"name": _clean(key), "value": _clean(value)})
    for check in report.checks:
        _case(suite, check)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, check: GateCheck) -> None:
    case = ET.SubElement(
        suite, "testcase", {"classname": f"gate.{check.kind.value}", "name": _clean(check.name), "time": "0"}
    )
    if check.state is CheckState.PASS:
        return
    tag = {CheckState.FAIL: "failure", CheckState.SKIPPED: "skipped"}.get(check.state, "error")
    attributes = {"message": _clean(check.reason)}
    if tag != "skipped":
        attributes["type"] = check.state.value
    element = ET.SubElement(case, tag, attributes)
    if tag != "skipped":
        element.text = _clean(f"{check.rule}; found {found_text(check)}\n{check.reason}")


def _clean(text: str) -> str:
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)
