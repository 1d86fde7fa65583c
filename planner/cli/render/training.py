"""How a training plan is printed: whether it fits, the memory of one device term by term, time, and changes that help."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from planner.cli.render.answer import figure_text, indent
from planner.domain.training import Recomputation, TrainingAnswer, TrainingSetup
from planner.domain.units import format_bytes

_RECOMPUTED = {
    Recomputation.NONE: "activations kept",
    Recomputation.SELECTIVE: "attention scores computed again",
    Recomputation.FULL: "gradient checkpointing",
}
_TERMS = (
    ("weights", "weights"),
    ("gradients", "gradients"),
    ("optimizer", "optimizer: FP32 masters and moments"),
    ("activations", "activations"),
    ("logits", "logits"),
    ("rounded_weights", "rounded weights"),
    ("teacher", "teacher"),
    ("step_workspace", "workspace of the optimizer's step"),
    ("overhead", "runtime and fragmentation"),
    ("total", "peak: terms that take turns are not added up"),
)


def setup_text(setup: TrainingSetup) -> str:
    """Return a setup in words."""
    devices = f"{setup.devices} device{'s' if setup.devices > 1 else ''}"
    shards = f", ZeRO stage {setup.zero_stage}" if setup.zero_stage else ""
    times = f" x {setup.accumulation}" if setup.accumulation > 1 else ""
    return (
        f"{devices}{shards}, micro-batches of {setup.micro_batch}{times}, {setup.sequence} tokens, "
        f"{_RECOMPUTED[setup.recomputation]}"
    )


def duration(seconds: float) -> str:
    """Return seconds as hours or days where they are that long."""
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def render_training(console: Console, answer: TrainingAnswer) -> None:
    """Print a training plan."""
    verdict = Text("Fits  ", style="bold green") if answer.fits else Text("Does not fit  ", style="bold red")
    taught = f" by {answer.teacher_id}" if answer.teacher_id else ""
    console.print(
        verdict + Text(f"{answer.method.value} of {answer.model_id}{taught} on {answer.hardware.describe()}")
    )
    console.print(Text(f"  {setup_text(answer.setup)}", style="dim"))
    console.print()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("of one device")
    table.add_column("bytes", overflow="fold")
    for name, words in _TERMS:
        figure = getattr(answer.memory, name)
        if figure.value > 0:
            table.add_row(words, figure_text(figure))
    console.print(indent(table, below=1))
    memory = answer.memory
    if memory.capacity is not None and memory.fit_probability is not None:
        console.print(
            indent(
                Text(
                    f"of {format_bytes(memory.capacity.value)} usable: fits with probability {memory.fit_probability:.3f}"
                )
            )
        )
    time = "unknown: the device is not named, or its matrix throughput is not known"
    if answer.seconds is not None:
        time = duration(answer.seconds.value)
        if answer.seconds.interval is not None:
            ends = (answer.seconds.interval.lo, answer.seconds.interval.hi)
            time += f" [{', '.join(duration(end) for end in ends)}] {answer.seconds.basis.value}"
    console.print(
        indent(Text(f"{answer.steps:,} steps of {answer.request.batch} sequences; time {time}"), below=1)
    )
    if answer.changes:
        console.print(Text("Any one of these makes it fit", style="bold"))
        for change in answer.changes:
            console.print(
                indent(Text(f"• {change.change}: {change.total}, probability {change.fit_probability:.3f}"))
            )
        console.print()
    elif not answer.fits:
        console.print(Text("No change of layout, devices or sequence that was tried makes it fit"))
    for note in answer.notes:
        console.print(Text("note: ", style="yellow") + Text(note))
