"""Listings and records as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from planner.cli.render.answer import figure_text
from planner.domain import decode_limit
from planner.domain.device import Device, Peak
from planner.domain.evaluation import Evaluation
from planner.domain.figure import Figure
from planner.domain.lifecycle import LifecycleState
from planner.domain.listing import VariantRow
from planner.domain.model import Model
from planner.domain.profile import Distribution, Profile
from planner.domain.scenario import Preset
from planner.domain.scheme import Scheme
from planner.domain.units import format_bytes, format_seconds


def listing(headings: Sequence[str]) -> Table:
    """Return an empty table in the house style."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading == "id")
    return table


def print_page(console: Console, table: Table, *, next_cursor: str | None, empty: str) -> None:
    """Print a table, its way on, or what an empty one means."""
    if table.row_count == 0:
        console.print(empty)
        return
    console.print(table)
    if next_cursor:
        console.print(Text(f"more: --cursor {next_cursor}", style="dim"))


def models_table(models: Iterable[Model]) -> Table:
    """Return models: id, family, size, attention, context, license."""
    table = listing(("id", "family", "parameters", "context", "KV per token", "license"))
    for model in models:
        shape = model.architecture
        per_token = shape.kv_elements(1) * 2
        table.add_row(
            model.id,
            model.family,
            f"{model.parameters / 1e9:.3g}B",
            f"{shape.max_context:,}" if shape.max_context else "unknown",
            format_bytes(per_token),
            model.license or "unknown",
        )
    return table


def variants_table(rows: Iterable[VariantRow]) -> Table:
    """Return variants with the loss each is best known by."""
    table = listing(("variant", "model", "scheme", "weights", "bits/weight", "loss", "profiles", "files"))
    for row in rows:
        variant = row.variant
        table.add_row(
            variant.name,
            variant.model_id,
            variant.scheme.name,
            f"{variant.weight_bytes} {variant.weight_bytes.basis.value}",
            f"{variant.effective_bits:.3g}" if variant.effective_bits else "unknown",
            figure_text(row.loss),
            str(row.profile_count),
            _files(row),
        )
    return table


def _files(row: VariantRow) -> str:
    """Return how many files there are, and what the variant's state says of them."""
    if not row.variant.is_fetchable:
        return "published only"
    state = row.state
    said = "" if state is None or state.state is LifecycleState.ACTIVE else f", {state.state.value}"
    return f"{len(row.variant.artifacts)}{said}"


def devices_table(devices: Iterable[Device]) -> Table:
    """Return devices with nominal and usable memory and bandwidth."""
    table = listing(("id", "name", "kind", "memory", "usable", "bandwidth", "compute capability"))
    for device in devices:
        bandwidth = device.bandwidth_bytes_per_second
        table.add_row(
            device.id,
            device.name,
            device.kind.value,
            format_bytes(device.memory_bytes),
            format_bytes(device.usable_bytes) if device.usable_bytes else "unknown",
            f"{format_bytes(bandwidth, binary=False)}/s" if bandwidth else "unknown",
            device.compute_capability or "",
        )
    return table


def presets_table(presets: Iterable[Preset]) -> Table:
    """Return presets with what each one asks for."""
    table = listing(("preset", "workload", "constraints", "objective", "also called"))
    for preset in presets:
        table.add_row(
            preset.id,
            str(preset.workload),
            "; ".join(constraint.describe() for constraint in preset.constraints) or "none",
            preset.objective.value,
            ", ".join(preset.aliases),
        )
    return table


def evaluations_table(evaluations: Iterable[Evaluation]) -> Table:
    """Return evaluations: score of both sides, loss, and the items behind it."""
    table = listing(("task", "metric", "baseline", "variant", "relative loss", "items", "KL mean", "top-1"))
    for evaluation in evaluations:
        fidelity = evaluation.fidelity
        table.add_row(
            evaluation.task,
            evaluation.metric,
            f"{evaluation.baseline_score:.4g}",
            f"{evaluation.variant_score:.4g}",
            figure_text(evaluation.relative_loss),
            f"{evaluation.items:,}" if evaluation.items else "unknown",
            str(fidelity.kl_mean) if fidelity and fidelity.kl_mean else "",
            str(fidelity.top1_agreement) if fidelity and fidelity.top1_agreement else "",
        )
    return table


def _middle(distribution: Distribution | None) -> str:
    if distribution is None:
        return ""
    if distribution.p50 is not None:
        return f"{format_seconds(distribution.p50)} p50"
    return f"{format_seconds(distribution.mean)} mean"


def profiles_table(profiles: Iterable[Profile]) -> Table:
    """Return one line for each measured workload point."""
    table = listing(("device", "runtime", "workload", "TTFT", "TPOT", "tokens/s", "peak memory", "basis"))
    for profile in profiles:
        for point in profile.points:
            memory = point.memory
            peak = memory.peak_device_bytes or memory.peak_allocated_bytes or memory.peak_rss_bytes
            rate = point.output_tokens_per_second
            table.add_row(
                f"{profile.devices} × {profile.device_id}" if profile.devices > 1 else profile.device_id,
                str(profile.runtime),
                str(point.workload),
                _middle(point.ttft_seconds),
                _middle(point.tpot_seconds),
                f"{rate.p50 or rate.mean:.3g}" if rate else "",
                format_bytes(peak) if peak else "",
                profile.basis.value,
            )
    return table


def decode_limits(profiles: Iterable[Profile]) -> Iterator[str]:
    """Yield a line for each profile that says how near decoding comes to the limit of memory."""
    for profile in profiles:
        if (text := decode_limit.describe(profile)) is not None:
            yield f"decoding on {profile.device_id}, {profile.runtime}: {text}"


def _cell(value: object) -> str:
    if isinstance(value, Figure):
        return figure_text(value)
    if isinstance(value, Peak):
        known = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return ", ".join(f"{name} {rate / 1e12:.4g} TFLOPS" for name, rate in known if rate is not None)
    if isinstance(value, Scheme):
        return f"{value.name}, {value.weight.bits:.4g} bits per weight"
    if isinstance(value, msgspec.Struct):
        fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return ", ".join(
            f"{name} {_cell(item)}" for name, item in fields if item not in (None, (), {}, False)
        )
    if isinstance(value, tuple | list):
        return ", ".join(_cell(item) for item in cast("Sequence[object]", value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(item)}" for key, item in cast("dict[str, object]", value).items())
    return str(value)


def labelled(name: str, field: object) -> tuple[str, str]:
    """Return label and text of a field; a unit in the name moves into the text."""
    if isinstance(field, int | float) and not isinstance(field, bool):
        if name.endswith("_bytes_per_second"):
            return _words(name.removesuffix("_bytes_per_second")), f"{format_bytes(field, binary=False)}/s"
        if name.endswith("_bytes"):
            return _words(name.removesuffix("_bytes")), format_bytes(field)
        if name.endswith("_seconds"):
            return _words(name.removesuffix("_seconds")), format_seconds(field)
        if name == "parameters":
            return name, f"{field:,}"
    return _words(name), _cell(field)


def _words(name: str) -> str:
    return name.replace("_", " ")


def record(value: msgspec.Struct, *, skip: frozenset[str] = frozenset()) -> Table:
    """Return the fields of one struct that are set, a line each."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name in value.__struct_fields__:
        field = getattr(value, name)
        if name in skip or field is None or field in ((), {}):
            continue
        label, text = labelled(name, field)
        if not text:
            continue
        table.add_row(Text(label, style="bold"), text)
    return table
