"""`planner demo`: from nothing to a recommendation on measured evidence, on this machine's CPU."""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import rich_click as click
from rich.console import Console
from rich.text import Text

from planner.cli.render.answer import figure_text, render_plan
from planner.cli.render.progress import share_progress
from planner.cli.render.tables import listing
from planner.cli.session import Session, console, session_options
from planner.domain.evaluation import Evaluation
from planner.domain.outcome import Recommended
from planner.domain.profile import Profile
from planner.domain.units import format_bytes, format_seconds
from planner.domain.variant import Variant
from planner.errors import InvalidInput
from planner.wire.service import Service

QUESTION = "{model} on {device}, {workload.input_tokens} in {workload.output_tokens} out, loss ≤ 1%, smallest"
NEEDED = ("torch", "transformers", "torchao", "safetensors")


def check_installed() -> None:
    """Raise InvalidInput unless the worker's libraries are installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InvalidInput(
            "demo",
            f"needs {', '.join(missing)}",
            allowed="an installation with `pip install 'variant-planner[worker]'`",
        )


@contextmanager
def _folder(out: Path | None) -> Generator[Path]:
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="planner-demo-") as folder:
        yield Path(folder) / "results"


def _table(out: Console, rows: Sequence[tuple[Variant, Profile | None, Evaluation | None]]) -> None:
    table = listing(
        (
            "variant",
            "bits/weight",
            "weights",
            "peak memory",
            "TTFT p50",
            "TPOT p50",
            "perplexity",
            "loss",
            "top-1",
        )
    )
    for variant, profile, evaluation in rows:
        point = profile.points[0] if profile else None
        ttft, tpot = (point.ttft_seconds, point.tpot_seconds) if point else (None, None)
        peak = (point.memory.peak_device_bytes or point.memory.peak_rss_bytes) if point else None
        agreement = evaluation.fidelity.top1_agreement if evaluation and evaluation.fidelity else None
        table.add_row(
            variant.name,
            f"{variant.effective_bits:.3g}" if variant.effective_bits else "",
            format_bytes(variant.weight_bytes.value),
            format_bytes(peak) if peak else "",
            format_seconds(ttft.p50) if ttft and ttft.p50 else "",
            format_seconds(tpot.p50) if tpot and tpot.p50 else "",
            f"{evaluation.variant_score:.4g}" if evaluation else "",
            figure_text(evaluation.relative_loss) if evaluation else "",
            str(agreement) if agreement else "",
        )
    out.print(table)


def _evidence(
    service: Service, variant: str, device: str
) -> tuple[Variant, Profile | None, Evaluation | None]:
    profiles = service.profiles(variant=variant, device=device, limit=200).items
    evaluations = service.evaluations(variant=variant, limit=200).items
    return (
        service.variant(variant),
        profiles[-1] if profiles else None,
        evaluations[-1] if evaluations else None,
    )


@click.command("demo")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the results in this new or empty folder; a temporary one is used and removed otherwise.",
)
@click.option(
    "--threads", type=click.IntRange(1, 1024), help="Threads to compute with.  [default: all cores but one]"
)
@session_options
def command(*, session: Session, out: Path | None, threads: int | None) -> int:
    """Build, measure and choose: the whole system on the project's own reference model.

    Builds full-precision, INT8 and 4-bit variants of a small model on this machine's CPU, measures speed, memory and
    loss of each, registers them with their evidence, and answers a question from it. Everything is real and stays in
    the registry: `planner up` shows it afterwards.
    """
    check_installed()
    from worker.demo import WORKLOADS, run_demo
    from worker.jobs import BuildResult, MeasureResult
    from worker.submit import submit

    started = time.monotonic()
    variants: list[str] = []
    device = None
    # The models are small: the hub must never be asked, whatever the environment says.
    os.environ["HF_HUB_OFFLINE"] = "1"
    with session.service() as service, _folder(out) as folder:
        with share_progress("demo", quiet=session.json) as progress:
            for item in run_demo(folder, threads=threads, report=progress):
                registered = submit(service, item.folder, item.result)
                if isinstance(item.result, BuildResult):
                    variants.append(registered.id)
                elif isinstance(item.result, MeasureResult):
                    device = item.result.profile.device_id
        assert device is not None, "the demonstration measures every variant it builds"
        worked = time.monotonic() - started
        rows = [_evidence(service, variant, device) for variant in variants]
        plan = service.recommend(
            query=QUESTION.format(model=rows[0][0].model_id, device=device, workload=WORKLOADS[0])
        )
    if session.json:
        session.print_json(
            {
                "seconds": worked,
                "variants": [{"variant": v, "profile": p, "evaluation": e} for v, p, e in rows],
                "plan": plan,
            }
        )
    else:
        printed = console()
        printed.print(
            Text(f"{len(variants)} variants built, measured and registered in {worked:.0f} s", style="bold")
        )
        printed.print()
        _table(printed, rows)
        printed.print()
        printed.print(Text("$ planner recommend ", style="dim") + Text(f'"{plan.query}"', style="bold"))
        printed.print()
        render_plan(printed, plan)
    return 0 if isinstance(plan.result, Recommended) else 3
