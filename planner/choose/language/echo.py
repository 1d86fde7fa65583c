"""Scenario → the canonical text that means it, so that people see what was understood and can ask it again."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from planner.choose.language.reader import is_terminal
from planner.choose.language.vocabulary import NameKind, Vocabulary
from planner.choose.language.words import scheme_word
from planner.choose.language.words import task as task_name
from planner.domain.constraint import (
    Constraint,
    CostBasis,
    CostLimit,
    DiskLimit,
    FormatFilter,
    LatencyLimit,
    LicenseFilter,
    LossLimit,
    RuntimeFilter,
    SchemeFilter,
    Scope,
    ThroughputFloor,
)
from planner.domain.device import DeviceKind
from planner.domain.loss import CONFIDENCE, LossKind
from planner.domain.runtime import KNOWN as KNOWN_RUNTIMES
from planner.domain.scenario import Hardware, ModelSelector, Scenario, SelectorKind
from planner.domain.units import GB, GIB, MIB, parse_seconds

_PHRASES: Final = frozenset({"quantized", "quantised", "unquantized", "unquantised"})
"""Scheme words that stand for several schemes."""


def echo(scenario: Scenario, vocabulary: Vocabulary) -> str:
    """Return English text that states every part of `scenario`; parsing it gives the scenario again, origins apart.

    That holds for scenarios whose model, family, device and preset are in the vocabulary, whose currency the grammar names,
    and whose free names (tasks, runtimes and the like) hold no quotation mark.
    """
    parts = [_model(scenario.model), _hardware(scenario.hardware)]
    preset = None if scenario.preset is None else vocabulary.preset(scenario.preset)
    if scenario.preset is not None:
        parts.append(f"preset {scenario.preset}")
    workload = scenario.workload
    parts.append(
        f"{workload.input_tokens} in, {workload.output_tokens} out, concurrency {workload.concurrency}"
    )
    if scenario.rate is not None:
        parts.append(f"{_number(scenario.rate)} requests per second")
    parts += [_constraint(constraint, vocabulary) for constraint in scenario.constraints]
    parts += _unlimited(scenario, () if preset is None else preset.constraints)
    parts.append(scenario.objective.value.replace("-", " "))
    parts.append(f"memory risk ≤ {_percent(scenario.risk)}")
    return ", ".join(parts)


def _decimal(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _number(value: float) -> str:
    """Return the shortest decimal that is exactly this float, without an exponent."""
    return _decimal(Decimal(repr(float(value))))


def _percent(ratio: float) -> str:
    return f"{_decimal(Decimal(repr(float(ratio))) * 100)}%"


def _model(selector: ModelSelector) -> str:
    size = "" if selector.size_billions is None else f"{_number(selector.size_billions)}B"
    match selector.kind:
        case SelectorKind.ANY:
            return "any model"
        case SelectorKind.SIZE:
            return size
        case SelectorKind.MODEL:
            return str(selector.value)
        case SelectorKind.FAMILY:
            return f"{size} {selector.value} family".lstrip()


def _memory(size: int) -> str:
    for scale, unit in ((GIB, "GiB"), (MIB, "MiB")):
        if size % scale == 0:
            return f"{size // scale} {unit}"
    return f"{size} bytes"


def _hardware(hardware: Hardware | None) -> str:
    if hardware is None:
        return "any hardware"
    return ", ".join(part for part in (_devices(hardware), hardware.parallelism) if part)


def _devices(hardware: Hardware) -> str:
    each = hardware.count // hardware.nodes
    times = f"{each} x " if each > 1 else ""
    if hardware.nodes > 1:
        times = f"{hardware.nodes} nodes of {times}"
    if hardware.partition is not None:
        return f"{times}{hardware.partition} of {hardware.device_id}"
    memory = None if hardware.memory_bytes is None else _memory(hardware.memory_bytes)
    if hardware.device_id is not None:
        return f"{times}{hardware.device_id}" + (f" limited to {memory}" if memory else "")
    match hardware.kind:
        case DeviceKind.GPU:
            return f"{times}{memory or 'gpu'}"
        case DeviceKind.CPU:
            return f"{times}cpu" + (f" with {memory} RAM" if memory else "")
        case DeviceKind.BOARD:
            return f"{times}board" + (f" with {memory}" if memory else "")


def _seconds(value: float) -> str:
    milliseconds = f"{_decimal(Decimal(repr(float(value))) * 1000)}ms"
    if 1e-6 <= value < 1 and parse_seconds(milliseconds, field="limit") == value:
        return milliseconds
    return f"{_number(value)}s"


def _disk(limit: int) -> str:
    return f"{_decimal(Decimal(limit) / GB)}GB" if limit % 1_000_000 == 0 else f"{limit} bytes"


def _task(task: str, vocabulary: Vocabulary) -> str:
    known = task_name(task) == task and (
        is_terminal("TASK", task) or vocabulary.find(NameKind.TASK, task) == task
    )
    return task if known else f'"{task}"'


def _loss(limit: LossLimit, vocabulary: Vocabulary) -> str:
    where = "" if limit.task is None else f" on {_task(limit.task, vocabulary)}"
    amount = (
        _percent(limit.limit)
        if limit.kind is LossKind.RELATIVE
        else f"{_number(limit.limit)} point{'' if limit.limit == 1 else 's'}"
    )
    certified = " certified" if limit.certified_only else ""
    confidence = "" if limit.confidence == CONFIDENCE else f" at {_percent(limit.confidence)} confidence"
    return f"{limit.kind.value} loss{where} ≤ {amount}{certified}{confidence}"


def _scheme_word(word: str, *, exclude: bool) -> str:
    plain = scheme_word(word) == word and is_terminal("SCHEME", word) and word not in _PHRASES
    return word if plain or (exclude and word == "gguf") else f'"{word}"'


def _schemes(scheme: SchemeFilter) -> str:
    named = [_scheme_word(word, exclude=scheme.exclude) for word in scheme.words]
    if any(word.startswith('"') for word in named):  # the grammar takes either words or quoted names
        named = [f'"{word}"' for word in scheme.words]
    return f"{'not ' if scheme.exclude else ''}scheme {' or '.join(named)}"


def _choice(key: str, name: str, known: tuple[str, ...]) -> str:
    return f"{key} {name}" if name in known else f'{key} "{name}"'


def _constraint(constraint: Constraint, vocabulary: Vocabulary) -> str:
    match constraint:
        case LossLimit():
            return _loss(constraint, vocabulary)
        case LatencyLimit():
            return f"{constraint.quantile} {constraint.metric.value.upper()} ≤ {_seconds(constraint.limit)}"
        case ThroughputFloor():
            scope = "per request" if constraint.scope is Scope.REQUEST else "in total"
            return f"throughput ≥ {_number(constraint.limit)} tok/s {scope}"
        case CostLimit():
            amount = f"{constraint.currency or ''} {_number(constraint.limit)}".lstrip()
            over = "per hour" if constraint.per is CostBasis.HOUR else "per million output tokens"
            return f"cost ≤ {amount} {over}"
        case DiskLimit():
            return f"size on disk ≤ {_disk(constraint.limit)}"
        case SchemeFilter():
            return _schemes(constraint)
        case RuntimeFilter():
            named = _choice("runtime", constraint.name, KNOWN_RUNTIMES)
            return f"{named} version {constraint.version}" if constraint.version else named
        case FormatFilter():
            return _choice("format", constraint.name, ("gguf", "safetensors"))
        case LicenseFilter():
            return _choice("license", constraint.name, ("apache", "mit", "bsd", "commercial"))


def _unlimited(scenario: Scenario, preset: tuple[Constraint, ...]) -> Iterator[str]:
    """Yield the preset's constraints that the scenario does not have, as taken away."""
    kept = {constraint.key for constraint in scenario.constraints}
    for constraint in preset:
        if constraint.key in kept:
            continue
        match constraint:
            case LossLimit() if constraint.task is not None:
                yield f'no loss on "{constraint.task}" limit'
            case SchemeFilter() if constraint.exclude:
                yield "no excluded scheme limit"
            case _:
                yield f"no {constraint.key} limit"
