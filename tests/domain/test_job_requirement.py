from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.job_requirement import parse, unmet
from planner.errors import InvalidInput

H200 = frozenset(
    {"cpu", "cuda", "device:h200-sxm", "device:h200", "vram:139.8GiB", "ram:1007.4GiB", "cc:9.0", "gpus:8"}
)


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("cuda", True),
        ("device:h200", True),
        ("device:h100", False),
        ("library:bitsandbytes", False),
        ("!library:bitsandbytes", True),
        ("!cuda", False),
        ("vram>=24GiB", True),
        ("vram >= 139.8 GiB", True),
        ("vram>=140GiB", False),
        ("vram<48GiB", False),
        ("vram>=24GB", True),
        ("ram>=32GiB", True),
        ("ram>=1TiB", False),
        ("cc>=8.9", True),
        ("cc>=9", True),
        ("cc>9.0", False),
        ("cc<10.0", True),
        ("cc==9.0", True),
        ("cc=9.0", True),
        ("gpus>=2", True),
        ("gpus>8", False),
    ],
)
def test_a_worker_meets_what_it_states(text: str, met: bool) -> None:
    assert parse(text).is_met_by(H200) is met
    assert (unmet([text], H200) == ()) is met
    assert parse(str(parse(text))) == parse(text)


def test_a_quantity_that_is_not_stated_meets_nothing() -> None:
    for text in ("vram>=1B", "vram<1TiB", "cc<99", "gpus<=100"):
        assert not parse(text).is_met_by(frozenset({"cpu", "vram:lots", "cc:", "gpus:-1"}))


def test_versions_are_compared_as_numbers() -> None:
    assert parse("cc>=8.9").is_met_by(frozenset({"cc:10.0"}))
    assert not parse("cc>=12.1").is_met_by(frozenset({"cc:12.0"}))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "not a requirement"),
        ("a b", "not a requirement"),
        ("vram>=24", "no unit"),
        ("vram>=", "not a size"),
        ("vram>=manyGiB", "not a size"),
        ("vram>=0GiB", "out of range"),
        ("vram:24GiB", r"vram>=24GiB"),
        ("cc:9.0", r"cc>=9\.0"),
        ("vram", "compares nothing"),
        ("cc>=new", "not a version"),
        ("cc>=9.0.1", "not a version"),
        ("gpus>=1.5", "not a count"),
        ("bandwidth>=1TB", "no quantity"),
        (">=3", "no quantity"),
        ("!vram>=24GiB", "not a requirement"),
        ("x" * 101, "101 characters"),
        ("cuda\0", "not a requirement"),
    ],
)
def test_what_is_no_requirement_is_refused_by_field(text: str, part: str) -> None:
    with pytest.raises(InvalidInput, match=part) as caught:
        parse(text, field="job.requires")
    assert caught.value.details["field"] == "job.requires"


def test_what_an_older_version_stored_is_met_by_the_same_word_only() -> None:
    assert unmet(["cc:9.0", "vram:139.8GiB"], H200) == ()
    assert unmet(["cc:8.0", "odd~word"], H200) == ("cc:8.0", "odd~word")


@given(st.text(max_size=40))
def test_any_text_is_a_requirement_or_invalid_input(text: str) -> None:
    try:
        requirement = parse(text)
    except InvalidInput:
        return
    assert parse(str(requirement)) == requirement
    assert requirement.is_met_by(H200) in {True, False}


@given(st.integers(1, 2**50), st.integers(1, 2**50))
def test_memory_is_compared_as_bytes(stated: int, wanted: int) -> None:
    met = parse(f"vram>={wanted}B").is_met_by(frozenset({f"vram:{stated}B"}))
    assert met is (stated >= wanted)
