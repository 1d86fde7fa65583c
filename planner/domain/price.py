"""Prices: what an hour of a device costs, as a file that people edit says.

No price is built in: prices change faster than a catalogue can, and an invoice knows best. Each one carries its currency,
date and source, so that a cost shown later can be judged.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Final

import msgspec

from planner.domain.device import Device
from planner.errors import InvalidInput

MAX_PER_HOUR: Final = 1e9
"""Largest price accepted, in any currency: far above any device, and far below overflow."""


def check_currency(field: str, currency: str) -> None:
    """Raise InvalidInput unless `currency` has the form of an ISO 4217 code."""
    if not (len(currency) == 3 and currency.isascii() and currency.isupper()):
        raise InvalidInput(
            field, f"`{currency[:20]}` is not a currency", allowed="three capital letters, such as USD"
        )


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The price of one device for one hour."""

    per_hour: float
    currency: str
    date: dt.date | None = None
    """The day the price held."""
    source: str | None = None
    """Where it is from: a price list, a contract, a calculation of one's own."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.per_hour) and 0 < self.per_hour <= MAX_PER_HOUR):
            raise InvalidInput(
                "price.per_hour",
                f"{self.per_hour} is out of range",
                allowed=f"more than 0, at most {MAX_PER_HOUR:g}",
            )
        check_currency("price.currency", self.currency)

    def describe(self) -> str:
        """Return the price in words, with its date and source."""
        known = [str(part) for part in (self.source, self.date) if part is not None]
        return f"{self.currency} {self.per_hour:.6g} per hour and device" + (
            f" ({', '.join(known)})" if known else ""
        )


class PriceList(msgspec.Struct, frozen=True, kw_only=True):
    """Prices by the names of devices, in lower case, as the file has them; all in one currency."""

    prices: Mapping[str, Price] = {}

    def of(self, device: Device) -> Price | None:
        """Return the price of `device` by its id, name or an alias. Raises InvalidInput when two names of it differ."""
        found = {name: self.prices[name] for name in device.names() if name in self.prices}
        if len(set(found.values())) > 1:
            raise InvalidInput(
                "prices",
                f"{device.id} has several prices, as {', '.join(found)}",
                allowed="one price per device",
            )
        return next(iter(found.values()), None)
