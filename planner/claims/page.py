"""docs/claims.md: the judged claims as Markdown, a summary first and the evidence of each below. Deterministic."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from planner.claims.evidence import Row
from planner.claims.judgement import Judged, JudgedPart, Verdict

SHOWN_ROWS: Final = 6
"""Rows of a part that are printed; `planner claims --json` has all."""
_URL: Final = re.compile(r"(?P<title>.+?), (?P<url>https?://\S+)(?: \((?P<date>[^)]+)\))?$")
_HEAD: Final = """# Popular claims about quantization, beside the evidence

A widely read comparison of "full" and "quantized" DeepSeek-R1 makes the twenty claims below, and people size hardware by them. This page is
made by `planner claims --write docs/claims.md` from what the registry holds: each claim in our words, the figures that bear on it, found
by query, and a verdict by rule. New evidence changes it by itself.

- A part of a claim is **supported** when the statistic named (the median of the figures, unless it says least or most) lies in the
  claim's range, **contradicted** when it does not, **untested** when no figure bears on it.
- A claim is **partly** supported when some of its tested parts are supported and others contradicted. Lines in parentheses stand
  beside a claim that does not say them; they do not count.
- Every figure has its basis: *measured* by our workers, *published* in the source that is linked, *modelled* from exact architectures.
  Published figures have no interval. Losses are relative to the variant's own baseline, the mean over the tasks of a source; doubted
  evidence is not used. Speeds are compared only within one source, at the same device, runtime and workload.
"""


def render(claims: Sequence[Judged]) -> str:
    """Return the whole page."""
    parts = [_HEAD, _summary(claims), *(_section(claim) for claim in claims)]
    return "\n".join(parts).rstrip() + "\n"


def _summary(claims: Sequence[Judged]) -> str:
    counts = Counter(claim.verdict for claim in claims)
    said = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict])
    lines = [f"Of {len(claims)} claims: {said}.", "", "| # | claim | verdict | basis |", "|---|---|---|---|"]
    for claim in claims:
        bases = {row.basis: None for part in claim.parts for row in part.rows}
        basis = ", ".join(basis.value for basis in sorted(bases, key=lambda basis: basis.rank))
        anchor = f"{claim.number}-{re.sub(r'[^a-z0-9 -]', '', claim.title.lower()).replace(' ', '-')}"
        lines.append(
            f"| {claim.number} | [{claim.says}](#{anchor}) | **{claim.verdict.value}** | {basis or '–'} |"
        )
    return "\n".join(lines) + "\n"


def _section(claim: Judged) -> str:
    lines = [f"## {claim.number} {claim.title}", "", f"> {claim.says}", ""]
    lines += [f"**{claim.verdict.value.capitalize()}.**", ""]
    lines += ["| it says | expected | found | verdict |", "|---|---|---|---|"]
    for part in claim.parts:
        says = part.says + (f"; {part.remark}" if part.remark else "")
        lines.append(
            f"| {f'({says})' if part.beside else says} | {part.expected} | {_found(part)} | {part.verdict.value} |"
        )
    lines.append("")
    for number, part in enumerate(claim.parts):
        if part.rows and all(part.rows != before.rows for before in claim.parts[:number]):
            lines += _evidence(part)
    return "\n".join(lines)


def _found(part: JudgedPart) -> str:
    if part.found is None:
        return "no figure"
    if len(part.rows) == 1:
        return f"**{_value(part.found, part.unit)}**"
    least, most = (_value(part.rows[end].value, part.unit) for end in (0, -1))
    return (
        f"{part.statistic.value} **{_value(part.found, part.unit)}** of {len(part.rows)} ({least} to {most})"
    )


def _evidence(part: JudgedPart) -> list[str]:
    chosen = shown_rows(part.rows)
    rest = f", {len(chosen)} of {len(part.rows)}" if len(chosen) < len(part.rows) else ""
    lines = [f"On “{part.says}”{rest}:", "", "| figure | of | basis | source |", "|---|---|---|---|"]
    for row in chosen:
        value = _value(row.value, part.unit)
        if row.interval is not None:
            ends = (_value(end, part.unit) for end in (row.interval.lo, row.interval.hi))
            value += f" [{' … '.join(ends)}]"
        subject = row.subject + (f" ({row.note})" if row.note else "")
        lines.append(f"| {value} | {subject} | {row.basis.value} | {_source(row)} |")
    return [*lines, ""]


def shown_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that are printed: ends and middle, and as many measured ones, spread over their values."""
    if len(rows) <= SHOWN_ROWS:
        return list(rows)
    measured = [index for index, row in enumerate(rows) if row.basis.rank == 0]
    chosen = {0, len(rows) // 2, len(rows) - 1}
    spread = measured if len(measured) > 1 else list(range(len(rows)))
    for step in range(SHOWN_ROWS):
        if len(chosen) == SHOWN_ROWS:
            break
        chosen.add(spread[round(step * (len(spread) - 1) / (SHOWN_ROWS - 1))])
    return [rows[index] for index in sorted(chosen)]


def _value(value: float, unit: str) -> str:
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2
    text = f"{value:,.{digits}f}"
    if not unit:
        return text
    return f"{text}×" if unit == "×" else f"{text} {unit}"


def _source(row: Row) -> str:
    if row.citation is None:
        return "arithmetic over the architecture" if row.basis.value == "modelled" else "–"
    match = _URL.match(row.citation)
    if match is None:
        return row.citation.replace("|", "\\|")
    date = f", {match['date']}" if match["date"] else ""
    title = match["title"].replace("|", "\\|").replace("[", "(").replace("]", ")")
    return f"[{title}]({match['url']}){date}"
