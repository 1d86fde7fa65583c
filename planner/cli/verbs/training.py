"""`planner training`: whether a model can be fine-tuned, trained quantization-aware or distilled on some hardware."""

from __future__ import annotations

import rich_click as click

from planner.cli.render.training import render_training
from planner.cli.session import Session, console, session_options
from planner.domain.scenario import DEFAULT_RISK, ModelSelector, SelectorKind
from planner.domain.training import Recomputation, TrainingRequest

DOES_NOT_FIT = 3


@click.command("training")
@click.argument("question", nargs=-1, required=True)
@click.option(
    "--tokens",
    type=click.IntRange(1),
    default=100_000_000,
    show_default=True,
    help="Tokens trained on in all.",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Sequences of a step, over all devices.",
)
@click.option(
    "--sequence", type=click.IntRange(1), default=2048, show_default=True, help="Tokens of a sequence."
)
@click.option(
    "--micro-batch", type=click.IntRange(1), help="Sequences a device works on at once.  [default: chosen]"
)
@click.option(
    "--checkpointing",
    type=click.Choice(["auto", "yes", "no", "selective"]),
    default="auto",
    show_default=True,
    help="Compute activations again in the backward pass instead of keeping them.",
)
@click.option(
    "--zero", type=click.IntRange(0, 3), help="ZeRO stage: what is sharded over devices.  [default: chosen]"
)
@click.option(
    "--teacher", help="Id of the model that a distillation learns from.  [default: the model itself]"
)
@click.option(
    "--eager-attention", is_flag=True, help="Attention without a fused kernel: all scores are held."
)
@click.option(
    "--risk",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    default=DEFAULT_RISK,
    show_default=True,
    help="Accepted probability of running out of memory.",
)
@session_options
def command(
    *,
    session: Session,
    question: tuple[str, ...],
    tokens: int,
    batch: int,
    sequence: int,
    micro_batch: int | None,
    checkpointing: str,
    zero: int | None,
    teacher: str | None,
    eager_attention: bool,
    risk: float,
) -> int:
    """Say whether a model can be trained on some hardware, what that takes, and what would make it fit.

    QUESTION is finetune, qat or distill, then model and hardware in words.

    For example: planner training "qat 7B on 2x24GB"

    Exit codes: 0 fits, 2 not understood, 3 does not fit.
    """
    recomputation = {
        "yes": Recomputation.FULL,
        "no": Recomputation.NONE,
        "selective": Recomputation.SELECTIVE,
    }
    request = TrainingRequest(
        query=" ".join(question),
        teacher=ModelSelector(kind=SelectorKind.MODEL, value=teacher) if teacher else None,
        tokens=tokens,
        batch=batch,
        sequence=sequence,
        micro_batch=micro_batch,
        recomputation=recomputation.get(checkpointing),
        zero_stage=zero,
        fused_attention=not eager_attention,
        risk=risk,
    )
    with session.service() as service:
        answer = service.training(request)
    if session.json:
        session.print_json(answer)
    else:
        render_training(console(), answer)
    return 0 if answer.fits else DOES_NOT_FIT
