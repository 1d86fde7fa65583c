"""A gate's report as Markdown: a comment on a pull request, or the summary of a CI job."""

from __future__ import annotations

import html
import re
from typing import Final

from planner.cli.render.gate import found_text
from planner.gate.report import Flips, GateReport, GateVerdict

_SIGNS: Final = {
    "pass": "✅",
    "fail": "❌",
    "inconclusive": "❔",
    "missing": "❔",
    "stale": "❔",
    "skipped": "➖",
}
_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>|#~])")


def markdown(report: GateReport) -> str:
    """Return the report."""
    sign = _SIGNS[report.verdict.value]
    lines = [
        f"### {sign} Gate: {report.verdict.value}",
        "",
        f"**{_text(report.name)}** (`{report.variant_id}`) against {_text(report.against)}",
        "",
    ]
    if report.verdict is not GateVerdict.PASS:
        lines += [_text(report.sentence), ""]
    lines += ["| | check | asked | found | size | |", "|---|---|---|---|---:|---|"]
    for check in report.checks:
        size = f"{check.size:,}" if check.size is not None else ""
        cells = (check.title, check.rule, found_text(check))
        lines.append(
            f"| {_SIGNS[check.state.value]} | {' | '.join(map(_text, cells))} | {size} | {_text(check.reason)} |"
        )
    lines.append("")
    lines += [
        f"- Floor: {_text(each.field)} is {_text(each.floor)}; the policy asked {_text(each.asked)}."
        for each in report.raised
    ]
    lines += [
        f"- {'Done' if effect.done else '**Not done**'}: {_text(effect.detail)}." for effect in report.effects
    ]
    lines += [
        f"- Would decide {_text(each.check)}: {each.job.kind.value} job, {each.state.value}"
        f"{f' `{each.job_id}`' if each.job_id else ''}."
        for each in report.jobs
    ]
    for flips in report.flips:
        lines += _changed(flips)
    return "\n".join(lines).rstrip() + "\n"


def _changed(flips: Flips) -> list[str]:
    title = html.escape(f"{flips.task} ({flips.metric}): {flips.worse} worse, {flips.better} better")
    rows = [
        f"| {_text(flip.id)} | {flip.reference:.4g} | {flip.variant:.4g} | {flip.change:+.4g} |"
        for flip in flips.items
    ]
    return [
        "",
        f"<details><summary>{title}</summary>",
        "",
        "| item | reference | build | worse by |",
        "|---|---:|---:|---:|",
        *rows,
        "",
        "</details>",
    ]


def _text(text: str) -> str:
    """Return text that Markdown and HTML show as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("&", "&amp;")
