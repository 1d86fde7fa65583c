"""llama-perplexity --kl-divergence: its text is the only output, and the most rigorous screen of loss in wide use.

The ratio's uncertainty holds the covariance of the two models on the same tokens, so the interval is a paired one. It takes
tokens as independent, which they are not quite.
"""

from __future__ import annotations

import re
from typing import Final

from planner.domain.evaluation import Fidelity
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.units import Unit
from planner.errors import InvalidFile
from planner.ingest.formats.format import CERTAIN, NO, Format
from planner.ingest.imported import Imported, LossDraft
from planner.ingest.source import Source

PROTOCOL: Final = (
    "llama-perplexity --kl-divergence: the second half of every chunk is scored; baseline log-probabilities are stored in "
    "16 bits; the ratio's uncertainty is paired over tokens, taken as independent"
)
Z90: Final = 1.6448536269514722
"""Normal quantile of a two-sided 90 % interval, as all intervals of loss are."""

_NUMBER: Final = r"(-?[0-9]+(?:\.[0-9]+)?|-?nan|-?inf)"
_LINE: Final = r"^.*?{label}\s*:\s*" + _NUMBER + r"(?:\s*(?:±|\+/-|\+-)\s*" + _NUMBER + r")?"
_LABELS: Final = {
    "variant": r"Mean PPL\(Q\)",
    "baseline": r"Mean PPL\(base\)",
    "ratio": r"Mean PPL\(Q\)/PPL\(base\)",
    "kl_mean": r"Mean\s+KLD",
    "kl_max": r"Maximum KLD",
    "kl_p99": r"99\.0%\s+KLD",
    "same_top": r"Same top p",
}
_PATTERNS: Final = {
    key: re.compile(_LINE.format(label=label), re.MULTILINE) for key, label in _LABELS.items()
}
_CHUNKS: Final = re.compile(r"computing over ([0-9]{1,9}) chunks.{0,200}?n_ctx=([0-9]{1,9})")
_CHUNK_ROW: Final = re.compile(r"^[ \t]*([0-9]{1,9})[ \t]+[0-9.]{1,40}[ \t]*±", re.MULTILINE)


def _detect(source: Source) -> float:
    if source.objects:
        return NO
    text = source.text
    return CERTAIN if "KL divergence statistics" in text or "Mean PPL(Q)" in text else NO


def _read(source: Source) -> Imported:
    text = source.text
    baseline, _ = _value(source, "baseline")
    variant, _ = _value(source, "variant")
    ratio, uncertainty = _value(source, "ratio")
    for name, value in (
        ("Mean PPL(base)", baseline),
        ("Mean PPL(Q)", variant),
        ("Mean PPL(Q)/PPL(base)", ratio),
    ):
        if not 0 < value < 1e9:
            raise InvalidFile(source.name, name, f"{value:g} is out of range", allowed="more than 0")
    chunks = _CHUNKS.search(text)
    rows = _CHUNK_ROW.findall(text)
    context = int(chunks.group(2)) if chunks else None
    count = int(rows[-1]) if rows else int(chunks.group(1)) if chunks else None
    tokens = count * (context - 1 - context // 2) if count and context and context > 2 else None
    draft = LossDraft(
        task=f"text of {count} chunks" if count else "text",
        metric="perplexity",
        baseline_score=baseline,
        variant_score=variant,
        relative_loss=ratio - 1,
        relative_stderr=uncertainty,
        items=tokens,
        fidelity=Fidelity(
            kl_mean=_figure(source, "kl_mean", Unit.NATS, 1.0),
            kl_p99=_figure(source, "kl_p99", Unit.NATS, 1.0),
            kl_max=_figure(source, "kl_max", Unit.NATS, 1.0),
            top1_agreement=_figure(source, "same_top", Unit.RATIO, 0.01),
        ),
        protocol=PROTOCOL + (f"; context {context}" if context else ""),
    )
    return Imported(format="llama-perplexity", tool="llama-perplexity", losses=(draft,), protocol=PROTOCOL)


def _value(source: Source, key: str) -> tuple[float, float | None]:
    found = _PATTERNS[key].search(source.text)
    if found is None:
        raise InvalidFile(
            source.name,
            _LABELS[key].replace("\\", ""),
            "is missing; the statistics stand at the end of the output and need 100 scored tokens",
            allowed="the whole output of `llama-perplexity --kl-divergence`",
        )
    value = float(found.group(1))
    uncertainty = float(found.group(2)) if found.group(2) else None
    if not abs(value) < 1e9 or (uncertainty is not None and not 0 <= uncertainty < 1e9):
        raise InvalidFile(
            source.name, _LABELS[key].replace("\\", ""), "is not a finite number", allowed="a number"
        )
    return value, uncertainty


def _figure(source: Source, key: str, unit: Unit, scale: float) -> Figure | None:
    if _PATTERNS[key].search(source.text) is None:
        return None
    value, uncertainty = _value(source, key)
    interval: Interval | None = None
    if uncertainty is not None:
        half = Z90 * uncertainty
        interval = Interval(lo=(value - half) * scale, hi=(value + half) * scale, confidence=0.9)
    return Figure(value=value * scale, unit=unit, basis=Basis.IMPORTED, interval=interval)


FORMAT: Final = Format(
    name="llama-perplexity",
    title="llama-perplexity --kl-divergence",
    expected="text with `Perplexity statistics` and `KL divergence statistics`, as llama-perplexity prints",
    detect=_detect,
    read=_read,
)
