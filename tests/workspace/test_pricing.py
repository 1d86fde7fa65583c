from __future__ import annotations

from pathlib import Path

import pytest

from planner.domain.outcome import Recommended
from planner.domain.scenario import Origin
from planner.errors import InvalidInput
from planner.settings import load_settings
from planner.workspace import Workspace
from planner.workspace.pricing import parse_prices

FILE = """
currency = "USD"

[devices.L4]
per_hour = 0.71
date = 2026-10-01
source = "contract"
"""


def test_the_file_is_read_as_it_says():
    (price,) = parse_prices(FILE).prices.values()
    assert (price.per_hour, price.currency, str(price.date), price.source) == (
        0.71,
        "USD",
        "2026-10-01",
        "contract",
    )


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("currency = 1", "prices"),
        ('currency = "USD"', "devices"),
        (FILE.replace("0.71", "-1"), "price.per_hour"),
        (FILE.replace("0.71", "nan"), "price.per_hour"),
        (FILE.replace('source = "contract"', ""), "source"),
        (FILE.replace('"contract"', '" "'), "prices.devices.L4.source"),
        (FILE.replace("2026-10-01", '"soon"'), "date"),
        (FILE.replace("USD", "dollars"), "price.currency"),
        (FILE + FILE.partition("\n\n")[2].replace("L4", "l4"), "prices.devices.l4"),
        ("[", "prices"),
    ],
)
def test_mistakes_name_the_field(text: str, field: str):
    with pytest.raises(InvalidInput) as caught:
        parse_prices(text)
    assert field in caught.value.message


def opened(data_dir: Path, tmp_path: Path, text: str) -> Workspace:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return Workspace(load_settings({"PLANNER_PRICES": str(path)}, data_dir=data_dir))


def test_the_price_is_part_of_the_plan_and_replays_without_the_file(data_dir: Path, tmp_path: Path):
    with opened(data_dir, tmp_path, FILE) as workspace:
        plan = workspace.recommend(query="8B on L4, <=5% loss, cheapest")
        other = workspace.recommend(query="8B on L40S, <=5% loss")
    assert plan.scenario.price is not None
    assert plan.scenario.price.per_hour == 0.71
    assert plan.scenario.origin("price") is Origin.PRICES
    assert isinstance(plan.result, Recommended)
    assert plan.result.chosen.cost is not None
    assert other.scenario.price is None
    with Workspace(load_settings({}, data_dir=data_dir)) as workspace:
        assert workspace.replay(plan.id).identical
        unpriced = workspace.recommend(query="8B on L4, <=5% loss, cheapest")
    assert unpriced.scenario.price is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (FILE.replace("L4", "l4-typo"), "no device that is known"),
        (
            FILE + '\n[devices."nvidia l4 24gb"]\nper_hour = 1\ndate = 2026-10-01\nsource = "other"',
            "several prices",
        ),
    ],
)
def test_a_file_that_does_not_fit_the_catalogue_is_refused_when_it_opens(
    data_dir: Path, tmp_path: Path, text: str, problem: str
):
    with pytest.raises(InvalidInput, match=problem):
        opened(data_dir, tmp_path, text)


def test_a_file_that_cannot_be_read_is_refused(data_dir: Path, tmp_path: Path):
    with pytest.raises(InvalidInput, match="cannot be read"):
        Workspace(load_settings({}, data_dir=data_dir, prices=tmp_path / "none.toml"))
