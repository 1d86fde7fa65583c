from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.units import (
    GB,
    GIB,
    MAX_BYTES,
    Unit,
    format_bytes,
    format_ratio,
    format_seconds,
    format_value,
    parse_bytes,
    parse_seconds,
)
from planner.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "binary", "value"),
    [
        ("24GB", True, 24 * GIB),
        ("24GB", False, 24 * GB),
        ("24 gib", False, 24 * GIB),
        ("13.5 GiB", False, round(13.5 * GIB)),
        ("512", False, 512),
        ("512B", True, 512),
        ("1k", True, 1024),
        ("1kB", False, 1000),
        (" 2 TB ", False, 2 * 10**12),
        ("1PiB", False, 2**50),
        ("1152921504606846975", True, 2**60 - 1),
        ("9007199254740993", False, 2**53 + 1),
    ],
)
def test_bytes_are_read_by_the_convention_of_the_caller(text: str, binary: bool, value: int):
    assert parse_bytes(text, field="memory", binary=binary) == value


@pytest.mark.parametrize(
    "text", ["", "GB", "-1GB", "1e3", "24 GX", "0", "0.4B", "1.2.3GB", "9999PB", "٣GB", "1GB\x00", "1" * 500]
)
def test_bytes_that_cannot_be_meant_name_the_field(text: str):
    with pytest.raises(InvalidInput, match=r"^memory: "):
        parse_bytes(text, field="memory", binary=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("500", 0.5),
        ("0.3 s", 0.3),
        ("20us", 2e-5),
        ("20µs", 2e-5),
        ("1min", 60),
        ("2h", 7200),
        ("1 sec", 1),
    ],
)
def test_durations(text: str, seconds: float):
    assert parse_seconds(text, field="ttft") == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize("text", ["", "ms", "-1ms", "0s", "1e3s", "5000h", "1 fortnight", "nan", "inf"])
def test_durations_that_cannot_be_meant_name_the_field(text: str):
    with pytest.raises(InvalidInput, match=r"^ttft: "):
        parse_seconds(text, field="ttft")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (24 * GIB, Unit.BYTES, "24 GiB"),
        (1000 * GIB, Unit.BYTES, "1000 GiB"),
        (1023.9 * GIB, Unit.BYTES, "1024 GiB"),
        (512, Unit.BYTES, "512 B"),
        (-3 * GIB, Unit.BYTES, "-3 GiB"),
        (0.5, Unit.SECONDS, "500 ms"),
        (0.9999, Unit.SECONDS, "1 s"),
        (0.0123, Unit.SECONDS, "12.3 ms"),
        (2e-5, Unit.SECONDS, "20 µs"),
        (7200, Unit.SECONDS, "7200 s"),
        (0.0123, Unit.RATIO, "1.23 %"),
        (0, Unit.RATIO, "0 %"),
        (0.000001, Unit.RATIO, "1.0e-04 %"),
        (12.5, Unit.RATIO, "1250 %"),
        (1.5, Unit.POINTS, "1.5 pp"),
        (1234.5, Unit.TOKENS_PER_SECOND, "1234 tokens/s"),
        (98765, Unit.PERPLEXITY, "98765"),
        (5.4321, Unit.PERPLEXITY, "5.432"),
        (4.83, Unit.BITS, "4.83 bits"),
        (1234567, Unit.COUNT, "1,234,567"),
    ],
)
def test_figures_are_shown_with_three_digits_and_no_exponent_above_one(value: float, unit: Unit, text: str):
    assert format_value(value, unit) == text


@given(st.integers(1, MAX_BYTES // 2), st.booleans())
def test_formatted_bytes_parse_back_within_their_digits(value: int, binary: bool):
    again = parse_bytes(format_bytes(value, binary=binary), field="memory", binary=binary)
    assert again == pytest.approx(value, rel=0.006)


@given(st.floats(1e-5, 1e6))
def test_formatted_seconds_parse_back_within_their_digits(value: float):
    assert parse_seconds(format_seconds(value), field="ttft") == pytest.approx(value, rel=0.006)


@given(st.floats(-1e6, 1e6))
def test_formatted_ratios_read_back(value: float):
    text = format_ratio(value, signed=True)
    assert text.endswith(" %")
    assert float(text.removesuffix(" %")) / 100 == pytest.approx(value, rel=0.06, abs=1e-300)
    assert text.startswith("+") is (value > 0)


@given(
    st.sampled_from(Unit), st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)
)
def test_every_unit_has_a_form(unit: Unit, value: float):
    text = format_value(value, unit)
    assert text
    assert not re.search(r"e\+", text)
    assert math.isfinite(float(re.sub(r"[^\d.eE-]", "", text.split(" ")[0]) or 0))
