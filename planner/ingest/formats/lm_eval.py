"""lm-eval: results (scores of every task) and samples (one line an item), joined by `planner.ingest.combining`.

Samples carry hashes of item, prompt and target, which is what two runs are paired by. A sample file does not say its task; the
name that the tool gives the file does, and is believed only where the results' score confirms it. `task_hashes` are over
prompts (0.4.9 to 0.4.13), so they differ where prompts do.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from planner.ingest.fields import Fields, clean, list_of, object_of
from planner.ingest.formats.format import CERTAIN, NO, Format
from planner.ingest.imported import Finding, Imported, Item, Samples, TaskScore
from planner.ingest.lints.accuracy import TASK_HASH
from planner.ingest.source import Source

_SAMPLE_NAME: Final = re.compile(r"samples_(.+?)_[0-9]{4}-[0-9]{2}-[0-9]{2}T[^/\\]*\.jsonl?$")
_PERPLEXITIES: Final = ("word_perplexity", "byte_perplexity")
_DERIVED: Final = frozenset({"bits_per_byte", "byte_perplexity", "perplexity"})
"""Metrics over the same log-likelihoods as word_perplexity: no evidence of their own."""
_SETTINGS: Final = ("chat_template_sha", "system_instruction_sha", "fewshot_as_multiturn")


def _detect_results(source: Source) -> float:
    document = source.only
    return CERTAIN if {"results", "versions"} <= document.keys() and "configs" in document else NO


def _read_results(source: Source) -> Imported:
    findings: list[Finding] = []
    whole = Fields(source.name, source.only)
    results = whole.inner("results")
    if results is None or not results.names():
        raise whole.wrong("results", "are empty", "at least one task")
    version = whole.text("lm_eval_version") or whole.text("git_hash")
    scores: list[TaskScore] = []
    groups = whole.at("group_subtasks")
    for task in results.names():
        if groups.values.get(task):  # a group's score repeats its tasks'
            continue
        scores.extend(_scores(whole, results.at(task), task))
    if not scores:
        raise results.wrong("", "hold no score with a number", "fields such as `acc,none`")
    config = whole.at("config")
    measured_at = whole.time("date")
    return Imported(
        format="lm-eval",
        tool=f"lm-eval {version or ''}".strip(),
        scores=tuple(scores),
        protocol=f"lm-eval {version or 'of unknown version'}, model type {config.text('model') or 'not stated'}, "
        f"batch size {config.text('batch_size') or 'not stated'}",
        measured_at=measured_at,
        versions={
            name: text
            for name in ("lm_eval_version", "transformers_version")
            if (text := whole.text(name)) is not None
        },
        facts={
            name: text
            for name in ("model_dtype", "model_revision", "model_sha", "batch_size", "device")
            if (text := config.text(name)) is not None
        },
        findings=tuple(findings),
    )


def _scores(whole: Fields, row: Fields, task: str) -> list[TaskScore]:
    configuration = whole.at("configs", task)
    is_choice = configuration.text("output_type") == "multiple_choice"
    counts = whole.at("n-samples", task)
    higher = whole.at("higher_is_better", task)
    identity = _identity(whole, task)
    config = whole.at("config")
    digest = whole.at("task_hashes").text(task)
    scores: list[TaskScore] = []
    for key in row.names():
        metric, comma, filter_name = key.partition(",")
        if not comma or metric.endswith("_stderr") or metric in _DERIVED:
            continue
        value = row.values[key]
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        upwards = higher.flag(metric)
        stderr_key = f"{metric}_stderr,{filter_name}"
        is_perplexity = metric in _PERPLEXITIES
        score = row.needed(key, low=-1e9, high=1e12)
        scores.append(
            TaskScore(
                task=clean(task) or "task",
                metric=_metric_name(metric, filter_name),
                higher_is_better=upwards if upwards is not None else not is_perplexity,
                score=score,
                stderr=row.number(stderr_key)
                if isinstance(row.values.get(stderr_key), int | float)
                else None,
                items=counts.count("effective", low=1) or row.count("sample_len", low=1),
                original_items=counts.count("original", low=1),
                is_choice=is_choice and metric in {"acc", "acc_norm"},
                bounded=not is_perplexity and 0 <= score <= 1,
                identity=identity,
                batch_size=config.text("batch_size"),
                dataset_digest=digest,
            )
        )
    return scores


def _metric_name(metric: str, filter_name: str) -> str:
    if metric in _PERPLEXITIES:
        return "perplexity"
    return clean(metric) + (f" ({clean(filter_name)})" if filter_name not in {"", "none"} else "")


def _identity(whole: Fields, task: str) -> Mapping[str, str]:
    """Return the settings that change prompts or items; equal ones are the condition of comparing (lint L14)."""
    found = {name: text for name in _SETTINGS if (text := whole.text(name)) is not None}
    for name, place in ((TASK_HASH, "task_hashes"), ("task version", "versions"), ("few-shot", "n-shot")):
        text = whole.at(place).text(task)
        if text is not None:
            found[name] = text
    shots = whole.at("n-shot").number(task)
    for name in ("limit", "gen_kwargs", *(("fewshot_seed",) if shots else ())):
        value = whole.at("config").values.get(name)
        if value not in (None, {}, ""):
            found[name] = clean(str(value))
    return found


def _detect_samples(source: Source) -> float:
    first = source.objects[0] if source.objects else {}
    return CERTAIN if {"doc_id", "resps", "filtered_resps"} <= first.keys() else NO


def _read_samples(source: Source) -> Imported:
    lines = [Fields(source.name, row, f"line {i}") for i, row in enumerate(source.objects, 1)]
    named = _SAMPLE_NAME.search(source.name)
    collected: dict[str, list[Item]] = {}
    chances: dict[str, list[float]] = {}
    for line in lines:
        filter_name = line.text("filter") or "none"
        listed = [name for name in list_of(line.values.get("metrics")) if isinstance(name, str)]
        names = listed or _guessed(line)
        common = _common(line)
        for metric in names:
            item = _item(line, metric, common)
            if item is None or (metric in _DERIVED and "word_perplexity" in names):
                continue
            name = _metric_name(metric, filter_name)
            collected.setdefault(name, []).append(item)
            if common["choices"] > 1:
                chances.setdefault(name, []).append(1 / common["choices"])
    scores = tuple(_collected(name, items, chances.get(name)) for name, items in collected.items())
    if not scores:
        raise lines[0].wrong("metrics", "no item has a score that is a number", "a metric such as acc")
    samples = Samples(task=named.group(1) if named else None, name=source.name, scores=scores)
    return Imported(format="lm-eval-samples", tool="lm-eval", samples=(samples,))


def _guessed(line: Fields) -> list[str]:
    """Return the metrics of lines written before they were listed: numbers beside the known fields."""
    known = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"}
    return [
        name
        for name, value in line.values.items()
        if name not in known and not name.endswith("_hash") and isinstance(value, int | float | list)
    ]


def _hash(value: object) -> str:
    return hashlib.sha256(repr(value).encode("utf-8", "replace")).hexdigest()


def _common(line: Fields) -> dict[str, Any]:
    key = line.text("doc_id")
    if key is None:
        raise line.wrong("doc_id", "is missing", "the number of the item")
    hashes = [line.text(name) for name in ("doc_hash", "prompt_hash", "target_hash")]
    if any(value is None for value in hashes):  # written before 0.4.3: the texts themselves
        hashes = [_hash(line.values.get(name)) for name in ("doc", "arguments", "target")]
    responses = line.values.get("resps")
    arguments = line.values.get("arguments")
    asked = len(object_of(arguments)) or len(list_of(arguments))
    generated = _generated(responses)
    return {
        "key": key,
        "fingerprint": ":".join(str(value) for value in hashes),
        "answer": _hash(responses),
        "length": generated,
        "choices": asked if generated is None else 0,
    }


def _generated(responses: object) -> int | None:
    """Return the characters generated, None where the item asks for log-likelihoods."""
    texts = [text for group in list_of(responses) for text in list_of(group) if isinstance(text, str)]
    if not texts or all(re.fullmatch(r"-?[0-9.]+(?:e-?[0-9]+)?", text) for text in texts):
        return None
    return sum(len(text) for text in texts)


def _item(line: Fields, metric: str, common: dict[str, Any]) -> Item | None:
    value = line.values.get(metric)
    if metric in _PERPLEXITIES:
        pair = line.numbers(metric, low=-1e12) if isinstance(value, list) else None
        if pair is None or len(pair) != 2 or pair[1] < 1:
            return None
        return Item(
            key=common["key"],
            fingerprint=common["fingerprint"],
            answer=common["answer"],
            nll=-pair[0],
            units=int(pair[1]),
        )
    if isinstance(value, bool):
        value = float(value)
    if not isinstance(value, int | float):
        return None
    score = Fields(line.path, {metric: value}, line.place).needed(metric, low=-1e9, high=1e9)
    return Item(
        key=common["key"],
        fingerprint=common["fingerprint"],
        answer=common["answer"],
        score=score,
        length=common["length"],
    )


def _collected(name: str, items: list[Item], chances: list[float] | None) -> TaskScore:
    unique = {item.key: item for item in items}
    records = tuple(unique[key] for key in sorted(unique, key=lambda key: (len(key), key)))
    scores = [item.score for item in records if item.score is not None]
    bounded = bool(scores) and len(scores) == len(records) and all(0 <= score <= 1 for score in scores)
    digest = hashlib.sha256("\n".join(f"{r.key}:{r.fingerprint}" for r in records).encode()).hexdigest()
    lengths = [item.length for item in records if item.length is not None]
    return TaskScore(
        task="",
        metric=name,
        higher_is_better=name != "perplexity",
        score=sum(scores) / len(scores) if scores else 0.0,
        items=len(records),
        chance=sum(chances) / len(chances) if chances else None,
        is_choice=bool(chances) and name in {"acc", "acc_norm"},
        bounded=bounded,
        records=records,
        mean_length=sum(lengths) / len(lengths) if lengths else None,
        dataset_digest=digest,
    )


RESULTS: Final = Format(
    name="lm-eval",
    title="lm-eval results",
    expected="results_….json with results, configs and versions, as `lm-eval run --output_path` writes",
    detect=_detect_results,
    read=_read_results,
)
SAMPLES: Final = Format(
    name="lm-eval-samples",
    title="lm-eval samples",
    expected="samples_TASK_….jsonl with doc_id, resps and filtered_resps, as --log_samples writes",
    detect=_detect_samples,
    read=_read_samples,
)
