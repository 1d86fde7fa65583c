"""`worker measure`: latency and memory by hand."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from worker.commands.execute import execute
from worker.commands.options import (
    device_option,
    json_option,
    model_source,
    server_options,
    threads_option,
    workload,
)
from worker.engines.transformers import Mode
from worker.jobs import MeasureSpec
from worker.measure.latency import Repetition
from worker.measure.profile import DEFAULT_WORKLOADS, Conditions


@click.command("measure")
@click.argument("variant")
@click.option(
    "--point",
    "points",
    multiple=True,
    metavar="IN:OUT[:REQUESTS]",
    help="A workload point; repeatable. Default: 128:64, 512:64 and 128:64:4.",
)
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    default=Mode.EAGER.value,
    show_default=True,
    help="Operator by operator, or decode steps compiled.",
)
@click.option(
    "--budget", type=float, default=10.0, show_default=True, help="Seconds of repeats per point at most."
)
@click.option("--repeats", type=int, default=5, show_default=True, help="Repeats per point at least.")
@click.option(
    "--limit",
    type=float,
    default=60.0,
    show_default=True,
    help="Seconds after which a point is not repeated further, whatever --repeats says.",
)
@click.option(
    "--warmup", type=int, default=2, show_default=True, help="Runs of a point before its first repeat."
)
@click.option("--refuse-tainted", is_flag=True, help="Fail when other work disturbed the measurement.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to keep the result in.")
@device_option
@threads_option
@server_options
@json_option
def command(
    *,
    variant: str,
    points: tuple[str, ...],
    mode: str,
    budget: float,
    repeats: int,
    warmup: int,
    limit: float,
    refuse_tainted: bool,
    out: Path | None,
    device: str,
    threads: int | None,
    server: str | None,
    hand_in: bool,
    as_json: bool,
) -> None:
    """Measure VARIANT: a folder of safetensors, `reference`, or with --server a variant it holds.

    At every workload point: time to first token, time per output token, throughput and peak memory, repeated until the
    medians are within 2 % or the budget is spent.
    """
    conditions = Conditions(
        workloads=tuple(workload(point) for point in points) or DEFAULT_WORKLOADS,
        device=device,
        mode=Mode(mode),
        threads=threads,
        repetition=Repetition(
            budget_seconds=budget, limit_seconds=limit, least=repeats, most=max(200, repeats), warmup=warmup
        ),
        tainted="refuse" if refuse_tainted else "keep",
    )
    spec = MeasureSpec(variant=model_source(variant, server=server, field="variant"), conditions=conditions)
    execute(spec, title="measure", out=out, server=server, hand_in=hand_in, as_json=as_json)
