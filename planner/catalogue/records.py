"""What one line of each data file holds: the facts as compiled, before anything is derived from them.

Models and devices are stored as the domain structs themselves, with source keys in place of citations.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from planner.domain.runtime import Runtime
from planner.domain.scenario import Preset
from planner.domain.scheme import Scheme
from planner.domain.variant import FileFormat


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A publication. `speed` and `accuracy` say how its figures were made and how they are read here."""

    id: str
    title: str
    url: str | None = None
    date: str | None = None
    speed: str | None = None
    accuracy: str | None = None

    @property
    def citation(self) -> str:
        """The full text of a citation."""
        where = f", {self.url}" if self.url else ""
        return f"{self.title}{where}" + (f" ({self.date})" if self.date else "")


class Build(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published variant: id "published:<model>/<slug>".

    `bytes` is a printed size of the weights, `bits` a printed average over all of them; neither is guessed. Without
    either the bytes are modelled from the architecture.
    """

    model: str
    slug: str
    scheme: Scheme
    sources: tuple[str, ...]
    format: FileFormat = FileFormat.UNKNOWN
    bytes: int | None = None
    bits: float | None = None
    size_source: str | None = None


class Score(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A variant and its baseline on one task, both from the same table of `source`; scores are shares of 1.

    `against` is the slug of the baseline, None when the baseline is not a variant of the catalogue. `kl` is the mean
    Kullback-Leibler divergence printed beside it in nats per token, `kl_error` its printed standard error.
    """

    variant: str
    source: str
    task: str
    metric: str
    baseline: float
    score: float
    label: str
    against: str | None = None
    lower_is_better: bool = False
    protocol: str | None = None
    doubt: str | None = None
    kl: float | None = None
    kl_error: float | None = None


class Point(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"tokens_in": "in"}
):
    """One workload point: tokens in and out, concurrency `at`; times in seconds, `rate` in tokens/s, memory in bytes.

    Memory is named for who counted it: the allocator (allocated and reserved at the peak, held after the run), the driver
    (device) or the kernel (rss).
    """

    tokens_in: int
    out: int
    at: int = 1
    ttft: float | None = None
    tpot: float | None = None
    e2e: float | None = None
    rate: float | None = None
    allocated: int | None = None
    reserved: int | None = None
    held: int | None = None
    device: int | None = None
    rss: int | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The points one source gives for a variant on a device under a runtime; `as_named` is the source's own words."""

    variant: str
    device: str
    runtime: Runtime
    source: str
    as_named: str
    points: tuple[Point, ...]
    devices: int = 1
    kernel: str | None = None
    versions: Mapping[str, str] = {}
    samples: int = 1
    doubt: str | None = None


class Presets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The presets file."""

    presets: tuple[Preset, ...]
