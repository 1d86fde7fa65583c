"""The price file: read and checked once, when the workspace opens, so that a mistake in it is seen before an answer is.

```toml
currency = "USD"

[devices.l4]
per_hour = 0.71
date = 2026-10-01
source = "our cloud contract"
```
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from planner.choose.index import Index
from planner.domain.device import Device
from planner.domain.price import Price, PriceList
from planner.domain.scenario import Origin, Scenario
from planner.errors import InvalidInput, NotFound

MAX_BYTES: Final = 1024**2
"""Largest price file read: some thousand devices."""


class _Listed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One device of a price file. Date and source may not be left out: a price nobody can check is no evidence."""

    per_hour: float
    date: dt.date
    source: str


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    currency: str
    devices: dict[str, _Listed]


def parse_prices(text: str) -> PriceList:
    """Return the price list in the TOML `text`. Raises InvalidInput naming the field."""
    try:
        file = msgspec.convert(tomllib.loads(text), _File)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput("prices", f"is not TOML: {error}", allowed="a TOML document") from None
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at ")
        field = place.strip("`").removeprefix("$").removeprefix(".")
        raise InvalidInput(
            f"prices.{field}" if field else "prices",
            problem[:1].lower() + problem[1:],
            allowed="`currency`, and per device `per_hour`, `date` and `source`",
        ) from None
    prices: dict[str, Price] = {}
    for name, listed in file.devices.items():
        if name.lower() in prices:
            raise InvalidInput(f"prices.devices.{name}", "is given twice", allowed="each device once")
        if not listed.source.strip():
            raise InvalidInput(f"prices.devices.{name}.source", "is empty", allowed="where the price is from")
        prices[name.lower()] = Price(
            per_hour=listed.per_hour, currency=file.currency, date=listed.date, source=listed.source
        )
    return PriceList(prices=prices)


def read_prices(path: Path, *, find_device: Callable[[str], Device]) -> PriceList:
    """Return the price list in a file, every device of which `find_device` knows. Raises InvalidInput naming the field."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode()
    except OSError as error:
        raise InvalidInput(
            "prices", f"{path} cannot be read: {error.strerror}", allowed="a TOML file"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInput("prices", f"{path} is not UTF-8", allowed="a TOML file") from error
    if len(text) > MAX_BYTES:
        raise InvalidInput("prices", f"{path} is too long", allowed=f"at most {MAX_BYTES:,} bytes")
    listed = parse_prices(text)
    for name in listed.prices:
        try:
            listed.of(find_device(name))
        except NotFound as error:
            nearest = ", ".join(error.details.get("nearest", []))
            raise InvalidInput(
                f"prices.devices.{name}", "is no device that is known", allowed=nearest or "`planner devices`"
            ) from error
    return listed


def priced(scenario: Scenario, index: Index, prices: PriceList) -> Scenario:
    """Return `scenario` with the price of its device filled in, unless it has one or the device has none."""
    hardware = scenario.hardware
    if scenario.price is not None or hardware is None or hardware.device_id is None or not prices.prices:
        return scenario
    price = prices.of(index.device(hardware.device_id))
    if price is None:
        return scenario
    return msgspec.structs.replace(
        scenario, price=price, origins={**scenario.origins, "price": Origin.PRICES}
    )
