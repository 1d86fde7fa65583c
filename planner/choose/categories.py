"""Categories: the constraints that are either met or not, judged for all rows at once."""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from planner.choose.index import Index
from planner.choose.losses import CODE
from planner.domain.constraint import (
    CategoryConstraint,
    FormatFilter,
    LicenseFilter,
    RuntimeFilter,
    SchemeFilter,
)
from planner.domain.outcome import Verdict
from planner.domain.runtime import canonical
from planner.domain.variant import FileFormat
from planner.estimate.columns import Integers

_DENIED: Final = re.compile(r"\bnot\s+\S+|\(\s*base\b[^)]*\)")
"""Parts of a license text that name another license: "not Apache-2.0", "(base Apache-2.0)"."""
_FORBIDS_COMMERCE: Final = re.compile(r"non-?\s?commercial|\bresearch\b|\bnc\b|cc-by-nc")
_PERMITS_COMMERCE: Final = re.compile(
    r"\bapache|\bmit\b|\bbsd\b|\bisc\b|\bmpl\b|\bllama\b.*\b[2-9](?:\.\d)?\b|\bllama[2-9]|\bgemma\b|openrail|cc-by(?:-sa)?-4|\bcommercial\b"
)


def permits_commerce(license_text: str) -> bool | None:
    """Return whether a license permits commercial use, None when its text does not say.

    Community licenses of Llama 2 and later and Gemma's terms permit it under conditions; research licenses do not.
    """
    text = _DENIED.sub(" ", license_text.casefold())
    if _FORBIDS_COMMERCE.search(text):
        return False
    return True if _PERMITS_COMMERCE.search(text) else None


def _license_verdict(license_text: str | None, name: str) -> Verdict:
    if license_text is None:
        return Verdict.UNKNOWN
    wanted = name.casefold().strip()
    if wanted == "commercial":
        permitted = permits_commerce(license_text)
        return {True: Verdict.MET, False: Verdict.VIOLATED, None: Verdict.UNKNOWN}[permitted]
    text = _DENIED.sub(" ", license_text.casefold())
    found = re.search(rf"(?<![a-z0-9]){re.escape(wanted)}", text)
    return Verdict.MET if found else Verdict.VIOLATED


def judge_category(index: Index, constraint: CategoryConstraint, rows: Integers) -> Integers:
    """Return the verdict codes of a category constraint on `rows`.

    A runtime that is recorded is met; one that only the file format suggests is likely.
    """
    met, violated = CODE[Verdict.MET], CODE[Verdict.VIOLATED]
    match constraint:
        case RuntimeFilter():
            loads, recorded = index.loads_under(canonical(constraint.name))
            return np.where(recorded, met, np.where(loads, CODE[Verdict.LIKELY], violated))[rows]
        case FormatFilter():
            wanted = constraint.name.casefold()
            code = np.array(
                [
                    met
                    if f.value == wanted
                    else CODE[Verdict.UNKNOWN]
                    if f is FileFormat.UNKNOWN
                    else violated
                    for f in FileFormat
                ],
                dtype=np.int64,
            )
            return code[index.file_format[rows]]
        case SchemeFilter():
            admitted = [met if constraint.admits(scheme) else violated for scheme in index.schemes]
            return np.array(admitted, dtype=np.int64)[index.scheme[rows]]
        case LicenseFilter():
            verdicts = [CODE[_license_verdict(model.license, constraint.name)] for model in index.model_list]
            return np.array(verdicts, dtype=np.int64)[index.model[rows]]


def category_reason(index: Index, constraint: CategoryConstraint, row: int, verdict: Verdict) -> str | None:
    """Return why a row has its verdict, None where the verdict says it all."""
    variant, model = index.records[row], index.row_models[row]
    match constraint:
        case RuntimeFilter():
            if verdict is Verdict.LIKELY:
                return f"inferred from {variant.file_format.value} files; no runtime is recorded"
            known = ", ".join(variant.runtimes) or f"none; files are {variant.file_format.value}"
            return (
                None
                if verdict is Verdict.MET
                else f"does not run under {constraint.name}; recorded runtimes: {known}"
            )
        case FormatFilter():
            if verdict is Verdict.UNKNOWN:
                return "the file format is not known"
            return None if verdict is Verdict.MET else f"files are {variant.file_format.value}"
        case SchemeFilter():
            return None if verdict is Verdict.MET else f"scheme is {variant.scheme.name}"
        case LicenseFilter():
            if model.license is None:
                return f"the license of {model.name} is not known"
            if verdict is Verdict.UNKNOWN:
                return f"the license “{model.license}” is not known to permit commercial use"
            return f"the license is “{model.license}”"
