"""Makes the reference model from nothing: corpus, tokenizer, training, saving, checking, model card.

The figures in the card belong to the saved files: the model is loaded back from disk, compared tensor by tensor with
what was trained and evaluated as loaded. Files appear in the output directory only when everything succeeded.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from planner.errors import IntegrityFailure, InvalidInput
from worker.reference import card, corpus, evaluation_digest, model, tokenizer, train, yardstick

TOKENIZER_SAMPLE_BYTES = 64 * 1024 * 1024
EVALUATION_BATCH = 32


class CorpusSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the training text comes from; `roots` empty means the running interpreter's own."""

    roots: tuple[Path, ...] = ()
    held_out_share: float = 0.02


def make(
    out: Path,
    *,
    shape: model.ModelShape,
    source: CorpusSettings,
    settings: train.TrainingSettings,
    report: train.Report,
    max_stored_bytes: int | None = None,
    overwrite: bool = False,
) -> card.Facts:
    """Make the model in `out` and return the facts of its card.

    `max_stored_bytes` is what the files may weigh, None for any weight. Raises InvalidInput for settings that cannot work or an output directory that is not empty, IntegrityFailure when
    the files do not load back as the model that was trained.
    """
    import torch

    shape.validate()
    settings.validate()
    if settings.sequence > shape.context:
        raise InvalidInput(
            "sequence", f"{settings.sequence} tokens", allowed=f"at most the context of {shape.context}"
        )
    if out.exists() and not out.is_dir():
        raise InvalidInput("out", f"`{out}` is a file", allowed="a directory")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise InvalidInput(
            "out", f"`{out}` is not empty", allowed="an empty or new directory, or --overwrite"
        )
    began = time.perf_counter()
    torch.manual_seed(settings.seed)

    report("read source", 0.0, "")
    divided = corpus.split(
        corpus.read_corpus(source.roots or corpus.default_roots()),
        seed=settings.seed,
        held_out_share=source.held_out_share,
    )
    if not divided.train or not divided.held_out:
        raise InvalidInput(
            "root",
            f"{len(divided.train)} training and {len(divided.held_out)} held-out files found",
            allowed="roots with more Python source, or a larger held-out share",
        )
    report("read source", 1.0, f"{len(divided.train)} files, {len(divided.held_out)} held out")

    report("train tokenizer", 0.0, "")
    trained_tokenizer = tokenizer.train_tokenizer(_sample(divided.train), vocabulary=shape.vocabulary)
    shape = msgspec.structs.replace(shape, vocabulary=trained_tokenizer.get_vocab_size())
    report("train tokenizer", 1.0, f"{shape.vocabulary} tokens")
    train_stream = _encode(trained_tokenizer, divided.train, "encode", report)
    held_out_stream = _encode(trained_tokenizer, divided.held_out, "encode held out", report)

    trained_model = model.build_model(shape)
    run = train.train(trained_model, train_stream, held_out_stream, settings, report)

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".partial-") as temporary:
        directory = Path(temporary)
        report("save and check", 0.0, "")
        model.save_model(trained_model, directory)
        tokenizer.save_tokenizer(trained_tokenizer, directory, context=shape.context)
        loaded = model.load_model(directory, device=settings.device)
        compare(trained_model, loaded)
        held_out_loss = train.mean_loss(
            loaded,
            train.sequences(held_out_stream, settings.sequence, settings.device),
            batch=min(settings.batch, EVALUATION_BATCH),
        )
        held_out_bytes = _utf8_bytes(divided.held_out)
        facts = card.Facts(
            shape=shape,
            settings=settings,
            run=run,
            train_files=len(divided.train),
            train_bytes=_utf8_bytes(divided.train),
            train_tokens=len(train_stream),
            held_out_files=len(divided.held_out),
            held_out_bytes=held_out_bytes,
            held_out_tokens=len(held_out_stream),
            held_out_perplexity=math.exp(held_out_loss),
            held_out_bits_per_byte=held_out_loss / math.log(2) * len(held_out_stream) / held_out_bytes,
            frozen_perplexity=yardstick.frozen_perplexity(loaded, trained_tokenizer, context=shape.context),
            frozen_digest=evaluation_digest(),
            unigram_perplexity=unigram_perplexity(train_stream, held_out_stream, shape.vocabulary),
            largest_packages=tuple(corpus.bytes_by_package(divided.train)[:12]),
            packages=len(corpus.bytes_by_package(divided.train)),
            device=device_name(settings.device),
            versions=versions(),
            total_seconds=time.perf_counter() - began,
        )
        (directory / "README.md").write_text(card.render(facts), encoding="utf-8")
        stored = sum(path.stat().st_size for path in directory.iterdir())
        if max_stored_bytes is not None and stored > max_stored_bytes:
            raise InvalidInput(
                "shape", f"{stored:,} bytes stored", allowed=f"at most {max_stored_bytes:,} bytes"
            )
        for path in sorted(directory.iterdir()):
            path.replace(out / path.name)
        report(
            "save and check",
            1.0,
            f"{stored / 1e6:.2f} MB, held-out perplexity {facts.held_out_perplexity:.2f}",
        )
    return facts


def compare(expected: Any, loaded: Any) -> None:
    """Raise IntegrityFailure naming the first tensor of the loaded model that is not bit for bit the expected one."""
    import torch

    ours, theirs = expected.state_dict(), loaded.state_dict()
    if ours.keys() != theirs.keys():
        raise IntegrityFailure(f"tensors differ after loading: {sorted(ours.keys() ^ theirs.keys())}")
    for name, tensor in ours.items():
        if not torch.equal(tensor, theirs[name]):
            raise IntegrityFailure(f"tensor `{name}` differs after loading", tensor=name)


def unigram_perplexity(
    train_stream: NDArray[np.uint16], held_out_stream: NDArray[np.uint16], vocabulary: int
) -> float:
    """Perplexity of the held-out tokens under the training tokens' frequencies, each count raised by one."""
    counts = np.bincount(train_stream, minlength=vocabulary).astype(np.float64) + 1.0
    log_probability = np.log(counts / counts.sum())
    return float(np.exp(-log_probability[held_out_stream].mean()))


def device_name(device: str) -> str:
    """Return what the device calls itself."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.machine()}, {os.cpu_count()} cores)"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that shape the result."""
    names = ("torch", "transformers", "tokenizers", "safetensors")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}


def _sample(documents: Sequence[corpus.Document]) -> list[str]:
    # the order is already a seeded shuffle, so a prefix is a fair sample
    texts: list[str] = []
    size = 0
    for document in documents:
        if size >= TOKENIZER_SAMPLE_BYTES:
            break
        texts.append(document.text)
        size += len(document.text)
    return texts


def _encode(
    trained_tokenizer: Any, documents: Sequence[corpus.Document], stage: str, report: train.Report
) -> NDArray[np.uint16]:
    parts: list[NDArray[np.uint16]] = []
    tokens = 0
    for number, ids in enumerate(
        tokenizer.encode_documents(trained_tokenizer, [document.text for document in documents]), start=1
    ):
        parts.append(ids)
        tokens += len(ids)
        if number % 500 == 0 or number == len(documents):
            report(stage, number / len(documents), f"{tokens / 1e6:.1f}M tokens")
    return np.concatenate(parts)


def _utf8_bytes(documents: Sequence[corpus.Document]) -> int:
    return sum(len(document.text.encode()) for document in documents)
