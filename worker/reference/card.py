"""Writes the reference model's card from the facts of the run that made it: nothing in it is typed by hand."""

from __future__ import annotations

import msgspec

from worker.reference.model import ModelShape
from worker.reference.train import TrainingRun, TrainingSettings


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a finished model; perplexities are per token of the model's own tokenizer."""

    shape: ModelShape
    settings: TrainingSettings
    run: TrainingRun
    train_files: int
    train_bytes: int
    train_tokens: int
    held_out_files: int
    held_out_bytes: int
    held_out_tokens: int
    held_out_perplexity: float
    held_out_bits_per_byte: float
    frozen_perplexity: float
    """On the project's frozen evaluation text, whose sha256 is `frozen_digest`."""
    frozen_digest: str
    unigram_perplexity: float
    largest_packages: tuple[tuple[str, int], ...]
    packages: int
    device: str
    versions: dict[str, str]
    total_seconds: float


def render(facts: Facts) -> str:
    """Return the model card: Markdown with the metadata header that model hubs read."""
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags:
  - python
  - quantization
  - reference
---

# Reference model: {facts.shape.parameters / 1e6:.1f}M parameters, Python source

A small language model with the Llama architecture, trained from scratch by `worker train-reference` of Variant
Planner. It exists so that building, measuring and choosing quantized variants can be shown and tested on a model
that has really learnt something, with nothing to download.

## Intended use

Exercising the system and measuring what quantization does to perplexity, agreement, memory and speed. It is **not**
for use as a code model: it is far too small to write programs, its output is neither checked nor filtered, and no
result on it says how a large model takes the same scheme. It can repeat short fragments that are frequent in its
training text, such as licence headers and author lines.

## Architecture

{_architecture(facts)}

## Training data

Python source found on the training machine: the standard library and the installed open-source packages of its
interpreter ({facts.packages} top-level packages and modules). Files were deduplicated by content; tests, test data,
generated, minified, very large and non-UTF-8 files and tables of numbers were left out, and so was this project's own
source.

{_corpus(facts)}

Largest packages by bytes: {_shares(facts)}. No text of the corpus is distributed with the model.

## Training

{_training(facts)}

{_curve(facts)}

Losses are nats per token; during training the held-out loss is that of the first \
{facts.settings.held_out_sequences} held-out sequences.

## Result

Evaluated on all held-out files, from the saved BF16 weights loaded back from disk:

{_result(facts)}

Held-out files come from the same packages as the training files, and packages repeat themselves, so text from
elsewhere is harder: the project's frozen evaluation text (`worker/reference/evaluation.jsonl`), which is no part of
the training data, is the fixed yardstick for variants of this model.

## Licence

The weights, tokenizer and this card are the project's own work, under Apache-2.0.
"""


def _architecture(facts: Facts) -> str:
    shape = facts.shape
    return _table(
        ("property", "value"),
        ("parameters", f"{shape.parameters:,} (embedding tied to the output head, counted once)"),
        ("layers", str(shape.layers)),
        ("hidden / intermediate width", f"{shape.hidden} / {shape.intermediate}"),
        (
            "attention",
            f"{shape.heads} query heads, {shape.kv_heads} key-value heads of width {shape.head_width}",
        ),
        ("vocabulary", f"{shape.vocabulary:,} byte-level BPE tokens, trained on the same text"),
        ("context", f"{shape.context:,} tokens; trained on sequences of {facts.settings.sequence:,}"),
        ("stored precision", "BF16 safetensors, rounded once from FP32 after training"),
    )


def _corpus(facts: Facts) -> str:
    return _table(
        ("part", "files", "MB", "million tokens"),
        (
            "training",
            f"{facts.train_files:,}",
            f"{facts.train_bytes / 1e6:.1f}",
            f"{facts.train_tokens / 1e6:.2f}",
        ),
        (
            "held out, by a hash of the content",
            f"{facts.held_out_files:,}",
            f"{facts.held_out_bytes / 1e6:.1f}",
            f"{facts.held_out_tokens / 1e6:.2f}",
        ),
    )


def _training(facts: Facts) -> str:
    run, settings = facts.run, facts.settings
    optimizer = [
        f"AdamW, peak rate {settings.learning_rate:g}",
        f"cosine decay after {settings.warmup_share:.0%} warm-up",
        f"betas {settings.betas[0]:g} and {settings.betas[1]:g}",
        f"weight decay {settings.weight_decay:g}",
        f"gradients clipped at {settings.clip_norm:g}",
    ]
    return _table(
        ("fact", "value"),
        ("device", facts.device),
        (
            "training time",
            f"{run.seconds:.0f} s; {facts.total_seconds:.0f} s with reading, encoding and checking",
        ),
        ("steps", f"{run.steps:,} of {settings.batch} sequences of {settings.sequence:,} tokens"),
        ("tokens seen", f"{run.tokens_seen / 1e6:.1f}M ({run.passes:.2f} passes over the corpus)"),
        ("speed", f"{run.tokens_per_second:,.0f} tokens/s"),
        ("optimizer", ", ".join(optimizer)),
        ("precision", f"BF16 autocast, FP32 weights{', compiled' if settings.compile else ''}"),
        ("seed", str(settings.seed)),
        ("versions", ", ".join(f"{name} {version}" for name, version in facts.versions.items())),
    )


def _curve(facts: Facts) -> str:
    return _table(
        ("step", "seconds", "training loss", "held-out loss"),
        *(
            (
                f"{point.step:,}",
                f"{point.seconds:.0f}",
                f"{point.train_loss:.3f}",
                f"{point.held_out_loss:.3f}",
            )
            for point in facts.run.curve
        ),
    )


def _result(facts: Facts) -> str:
    return _table(
        ("measure", "value"),
        ("perplexity per token", f"{facts.held_out_perplexity:.3f}"),
        ("bits per byte", f"{facts.held_out_bits_per_byte:.3f}"),
        (
            f"perplexity per token of the frozen evaluation text (sha256 {facts.frozen_digest[:12]})",
            f"{facts.frozen_perplexity:.3f}",
        ),
        ("perplexity of token frequencies alone", f"{facts.unigram_perplexity:.1f}"),
    )


def _table(header: tuple[str, ...], *rows: tuple[str, ...]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _shares(facts: Facts) -> str:
    return ", ".join(f"{name} {size / facts.train_bytes:.0%}" for name, size in facts.largest_packages)
