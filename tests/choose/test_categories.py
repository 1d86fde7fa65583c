from __future__ import annotations

import numpy as np
import pytest

from planner.choose.categories import category_reason, judge_category, permits_commerce
from planner.choose.losses import VERDICTS
from planner.domain.constraint import FormatFilter, LicenseFilter, RuntimeFilter, SchemeFilter
from planner.domain.figure import Basis
from planner.domain.outcome import Verdict
from tests.choose.records import DEFAULT_LOAD, GPU, LLAMA_3_8B, Records, model, profile, variant


@pytest.mark.parametrize(
    ("text", "permitted"),
    [
        ("Apache-2.0", True),
        ("MIT", True),
        ("MIT (base Llama 3.1 licence)", True),
        ("Llama 2 Community License", True),
        ("Llama 3.1 Community License", True),
        ("Gemma Terms of Use", True),
        ("non-commercial bespoke (LLaMA)", False),
        ("Qwen Research License", False),
        ("CC-BY-NC-4.0", False),
        ("Qwen licence (not Apache-2.0)", None),
        ("Limited bespoke", None),
    ],
)
def test_commercial_use_is_read_from_the_license(text: str, permitted: bool | None) -> None:
    assert permits_commerce(text) is permitted


def verdicts(constraint: RuntimeFilter | FormatFilter | SchemeFilter | LicenseFilter) -> dict[str, Verdict]:
    free = model("free", LLAMA_3_8B, 8, license_text="Apache-2.0")
    odd = model("odd", LLAMA_3_8B, 8, license_text="Qwen licence (not Apache-2.0)")
    unknown = model("unknown", LLAMA_3_8B, 8)
    variants = (
        variant(free, "int4-g128", name="recorded", runtimes=("vLLM",)),
        variant(odd, "q4_k_m", name="gguf"),
        variant(unknown, "int8-dynamic", name="silent"),
        variant(free, "bf16", name="proven"),
    )
    proof = profile(variants[3], GPU, {DEFAULT_LOAD: (0.1, 0.01)}, runtime="exllamav2", basis=Basis.PUBLISHED)
    index = Records((free, odd, unknown), variants, (), (proof,)).index()
    rows = np.arange(len(index))
    codes = judge_category(index, constraint, rows)
    for row in rows.tolist():
        said = VERDICTS[int(codes[row])]
        assert said is Verdict.MET or category_reason(index, constraint, row, said)
    return {index.records[row].name: VERDICTS[int(codes[row])] for row in rows.tolist()}


def test_runtimes_are_recorded_proven_or_inferred_from_the_format() -> None:
    assert verdicts(RuntimeFilter(name="vllm")) == {
        "recorded": Verdict.MET, "gguf": Verdict.VIOLATED, "silent": Verdict.LIKELY, "proven": Verdict.LIKELY,
    }  # fmt: skip
    assert verdicts(RuntimeFilter(name="llamacpp"))["gguf"] is Verdict.LIKELY
    assert verdicts(RuntimeFilter(name="transformers"))["recorded"] is Verdict.VIOLATED
    assert verdicts(RuntimeFilter(name="exllamav2"))["proven"] is Verdict.MET


def test_formats() -> None:
    found = verdicts(FormatFilter(name="GGUF"))
    assert found.pop("gguf") is Verdict.MET
    assert set(found.values()) == {Verdict.VIOLATED}


def test_schemes_can_be_wanted_and_excluded() -> None:
    assert verdicts(SchemeFilter(words=("int8",)))["silent"] is Verdict.MET
    assert verdicts(SchemeFilter(words=("int8",), exclude=True))["silent"] is Verdict.VIOLATED


def test_licenses_do_not_match_by_what_they_are_not() -> None:
    assert verdicts(LicenseFilter(name="apache")) == {
        "recorded": Verdict.MET, "gguf": Verdict.VIOLATED, "silent": Verdict.UNKNOWN, "proven": Verdict.MET,
    }  # fmt: skip
    assert verdicts(LicenseFilter(name="commercial"))["gguf"] is Verdict.UNKNOWN
