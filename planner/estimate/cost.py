"""Cost and energy: what the hours of the devices that a variant uses come to, per hour and per generated token.

Cost per million tokens = price per hour x devices x seconds per generated token x 1e6 / 3600. The price is exact, so the
interval is that of the throughput. Energy is an upper bound: rated power (TDP) x devices x seconds per token.
"""

from __future__ import annotations

from typing import Final

from planner.domain.device import Device
from planner.domain.figure import Basis, Figure, Interval, exact
from planner.domain.outcome import CostAnswer
from planner.domain.price import Price
from planner.domain.units import Unit

TOKENS: Final = 1e6
SECONDS_PER_HOUR: Final = 3600.0


def per_second_of_token(per_hour: float) -> float:
    """Return cost per million tokens for each second that a generated token takes, of devices that cost `per_hour`."""
    return per_hour * TOKENS / SECONDS_PER_HOUR


def _inverse(figure: Figure, factor: float, unit: Unit) -> Figure | None:
    """Return factor / figure with its interval turned round; None where that is not finite."""
    interval = figure.interval
    if figure.value <= 0:
        return None
    turned = (
        Interval(lo=factor / interval.hi, hi=factor / interval.lo, confidence=interval.confidence)
        if interval is not None and interval.lo > 0
        else None
    )
    return Figure(
        value=factor / figure.value,
        unit=unit,
        basis=figure.basis,
        interval=turned,
        evidence=figure.evidence,
        note=figure.note,
    )


def cost_of(price: Price, *, devices: int, throughput: Figure | None) -> CostAnswer:
    """Return the cost of `devices` that generate `throughput` tokens per second together."""
    per_hour = price.per_hour * devices
    return CostAnswer(
        currency=price.currency,
        per_hour=exact(per_hour, Unit.PER_HOUR, basis=Basis.PUBLISHED),
        per_million_tokens=None
        if throughput is None
        else _inverse(throughput, per_second_of_token(per_hour), Unit.PER_MILLION_TOKENS),
        price=price,
    )


def energy_of(device: Device | None, *, devices: int, throughput: Figure | None) -> Figure | None:
    """Return joules per generated token at the rated power of `devices`; None where power or throughput is unknown.

    The lower end is zero: how far below its rated power a device stays is not known.
    """
    if device is None or device.tdp_watts is None or throughput is None:
        return None
    most = _inverse(throughput, device.tdp_watts * devices, Unit.JOULES)
    if most is None:
        return None
    return Figure(
        value=most.value,
        unit=Unit.JOULES,
        basis=Basis.MODELLED,
        interval=most.interval and Interval(lo=0.0, hi=most.interval.hi, confidence=most.interval.confidence),
        evidence=(*most.evidence, *device.citations),
        note=f"upper bound per generated token: {device.tdp_watts:g} W rated power of {devices} × {device.name}",
    )
