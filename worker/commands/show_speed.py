"""How a profile compares to another one, as a table."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from planner.domain.profile import Profile
from planner.domain.speed_comparison import SpeedVerdict, compare_speed

_STYLES = {SpeedVerdict.FAST: "green", SpeedVerdict.SLOW: "red", SpeedVerdict.AMBIGUOUS: "yellow"}
_NAMES = {"ttft": "TTFT", "tpot": "TPOT", "end_to_end": "end to end"}


def show_comparison(profile: Profile, reference: Profile) -> None:
    """Print the verdict per point and time, and what else differs, on standard error: the result has standard output."""
    console = Console(stderr=True)
    found = compare_speed(profile, reference)
    table = Table(
        title=f"against {reference.id or 'the reference'}",
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for name in ("point", "time", "ratio", "interval", "verdict"):
        table.add_column(name, justify="right" if name in {"ratio", "interval"} else "left")
    for point in found.points:
        interval = (
            f"{point.lo:.3f} … {point.hi:.3f}" if point.lo is not None and point.hi is not None else "–"
        )
        table.add_row(
            str(point.workload),
            _NAMES[point.metric],
            f"{point.ratio:.3f}",
            interval,
            point.verdict.upper(),
            style=_STYLES.get(point.verdict),
        )
    console.print(table)
    for workload in found.only_in_one:
        console.print(f"only in one of the two: {workload}", highlight=False, markup=False)
    for difference in found.differences:
        console.print(f"differs: {difference}", highlight=False, markup=False)
