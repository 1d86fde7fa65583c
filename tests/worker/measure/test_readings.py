from __future__ import annotations

import pytest

from worker.measure.readings import Others, Reading, other_processes, spoilt, summary, trouble

pytestmark = pytest.mark.worker
FULL = 1.98e9


def _recorded(*states: tuple[int, float], start: float = 0.0) -> list[Reading]:
    """A recording of one reading every tenth of a second: (clock event reasons, SM clock)."""
    return [
        Reading(
            at=start + number / 10, reasons=reasons, sm_clock_hertz=clock, temperature_celsius=50.0 + number
        )
        for number, (reasons, clock) in enumerate(states)
    ]


@pytest.mark.parametrize(
    ("reasons", "clock", "expected"),
    [
        (0x00, 1.95e9, None),
        (0x04, 1.3e9, None),  # the power limit explains it
        (0x01, 0.3e9, None),  # nothing ran
        (0x08, 1.95e9, "hardware slowdown"),
        (0x20, 1.95e9, "software thermal slowdown"),
        (0x40, 1.95e9, "hardware thermal slowdown"),
        (0x80 | 0x04, 1.95e9, "hardware power brake"),
        (0x00, 1.48e9, "SM clock below 75% of the full one"),
        (0x00, 1.49e9, None),
    ],
)
def test_what_is_wrong_at_a_moment(reasons, clock, expected):
    reading = Reading(at=0, reasons=reasons, sm_clock_hertz=clock)
    assert trouble(reading, full_clock_hertz=FULL) == expected


def test_a_driver_that_says_nothing_spoils_nothing():
    assert trouble(Reading(at=0), full_clock_hertz=None) is None
    assert spoilt([], 0, 1, full_clock_hertz=FULL) is None
    assert summary([]) == {}


def test_a_sample_is_judged_by_the_readings_in_it_and_next_to_it():
    readings = _recorded((0, FULL), (0, FULL), (0x40, FULL), (0, FULL), (0, FULL), (0, FULL))
    for start, end, expected in (
        (0.0, 0.05, None),
        (0.12, 0.15, "hardware thermal slowdown"),  # between two readings, the next of which is hot
        (0.15, 0.25, "hardware thermal slowdown"),
        (0.25, 0.28, "hardware thermal slowdown"),
        (0.32, 0.45, None),
        (0.45, 9.0, None),
    ):
        assert spoilt(readings, start, end, full_clock_hertz=FULL) == expected, (start, end)


def test_a_summary_says_clock_heat_and_caps():
    facts = summary(_recorded((0, 1.9e9), (0x04, 1.7e9), (0x04 | 0x20, 1.8e9), (0, 1.9e9)))
    assert facts["gpu_sm_clock_least_hertz"] == 1.7e9
    assert facts["gpu_sm_clock_median_hertz"] == pytest.approx(1.85e9)
    assert (facts["gpu_temperature_start_celsius"], facts["gpu_temperature_end_celsius"]) == (50.0, 53.0)
    assert facts["gpu_power_capped_share"] == 0.5
    assert facts["gpu_slowdowns"] == "software thermal slowdown"
    assert "gpu_power_median_watts" not in facts


@pytest.mark.parametrize(
    ("before", "now", "began_before", "expected"),
    [
        ((), (9,), False, Others(0, ())),  # we came, visible
        ((5,), (5, 9), False, Others(1, (5,))),
        ((9,), (9,), True, Others(0, ())),
        ((), (71,), False, Others(0, ())),  # we came, under a pid of another namespace
        ((5,), (5, 71), False, Others(1, (5,))),
        ((), (71, 72), False, Others(1, (71, 72))),  # one of the two is us
        ((71,), (71,), True, Others(0, ())),
        ((71,), (71, 72), True, Others(1, (72,))),
        ((5,), (5,), False, Others(1, (5,))),  # we never showed
        ((), (), False, Others(0, ())),
    ],
)
def test_who_else_is_on_the_device(before, now, began_before, expected):
    assert other_processes(before, now, own=9, began_before=began_before) == expected
