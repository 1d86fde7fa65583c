"""From the tokens of a query to its clauses: the grammar, built once, and the clause each rule stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Final

from lark import Lark, Token, Transformer

from planner.choose.language import words
from planner.choose.language.clauses import (
    AccuracyStated,
    AnyHardware,
    AnyModel,
    BareNumber,
    CertifiedOnly,
    Clause,
    ConfidenceStated,
    CostStated,
    CountStated,
    DeviceNamed,
    DiskStated,
    FamilyNamed,
    FormatNamed,
    LatencyStated,
    LicenseNamed,
    LossStated,
    MemoryStated,
    MemoryWord,
    ModelNamed,
    NodesStated,
    ObjectiveNamed,
    PresetNamed,
    ProcessorNamed,
    QuantileNamed,
    Quantity,
    RecoveryStated,
    Refused,
    RequestRateStated,
    RiskStated,
    RuntimeNamed,
    SchemesNamed,
    SchemeWord,
    Separator,
    SizeNamed,
    SliceNamed,
    Span,
    SplitStated,
    TaskNamed,
    ThroughputStated,
    Unlimited,
    WorkloadPart,
    WorkloadStated,
)
from planner.domain.constraint import Direction, cost_key
from planner.domain.runtime import canonical

Part = Token | Clause | Direction | None
"""What a rule of the grammar is made of."""
Parts = list[Part]

_UPPER: Final = frozenset({"AT_MOST", "UNDER", "OR_LESS"})


def grammar_text() -> str:
    """Return the published grammar."""
    return files("planner.choose.language").joinpath("grammar.lark").read_text(encoding="utf-8")


@cache
def grammar() -> Lark:
    """Return the parser, built on first use (about a third of a second)."""
    return Lark(
        grammar_text(),
        parser="lalr",
        lexer="contextual",
        maybe_placeholders=False,
        transformer=_ClauseReader(),
    )


def _tokens(parts: Sequence[Part]) -> dict[str, Token]:
    return {part.type: part for part in parts if isinstance(part, Token)}


def _only(parts: Sequence[Part]) -> Token:
    (token,) = [part for part in parts if isinstance(part, Token)]
    return token


def _text(token: Token) -> str:
    return str(token.value)


def _unquoted(token: Token) -> str:
    return _text(token)[1:-1] if token.type == "QUOTED" else _text(token)


def _span(parts: Sequence[Part]) -> Span:
    """Return where a rule starts and ends in the normalised text."""
    starts = [part.start for part in parts if isinstance(part, Clause)]
    starts += [part.start_pos or 0 for part in parts if isinstance(part, Token)]
    ends = [part.end for part in parts if isinstance(part, Clause)]
    ends += [part.end_pos or 0 for part in parts if isinstance(part, Token)]
    return Span(min(starts), max(ends))


def _quantities(parts: Sequence[Part]) -> list[Quantity]:
    return [part for part in parts if isinstance(part, Quantity)]


def _amount(parts: Sequence[Part]) -> Quantity:
    """Return the first quantity, bounded by a comparator that stands apart from it: "max loss 1%", "1% loss max"."""
    quantity = next(part for part in parts if isinstance(part, Quantity))
    bound = next((part for part in parts if isinstance(part, Direction)), None)
    return quantity if quantity.bound is not None else replace(quantity, bound=bound)


def _task(parts: Sequence[Part]) -> str | None:
    tasks = [part.task for part in parts if isinstance(part, TaskNamed)]
    tasks += [words.task(_text(part)) for part in parts if isinstance(part, Token) and part.type == "TASK"]
    return tasks[-1] if tasks else None


class _ClauseReader(Transformer[Token, list[Clause]]):
    """Builds the clause of each rule, and nothing else: what clauses mean together is decided by `interpret`."""

    def start(self, parts: Parts) -> list[Clause]:
        """Return the clauses in the order they were written."""
        clauses: list[Clause] = []
        for part in parts:
            if isinstance(part, Clause):
                clauses.append(part)
            elif isinstance(part, Token):
                clauses.append(Separator(at=_span((part,))))
        return clauses

    # -- quantities

    def number(self, parts: Parts) -> Quantity:
        token = _only(parts)
        text = _text(token)
        value = Decimal(words.COUNTS[text]) if text in words.COUNTS else Decimal(text.replace(",", ""))
        return Quantity(number=value, at=_span((token,)))

    def comparator(self, parts: Parts) -> Direction | None:
        token = _only(parts)
        if token.type == "EQUAL":
            return None
        return Direction.DOWN if token.type in _UPPER else Direction.UP

    limit = comparator

    def bounded(self, parts: Parts) -> Quantity:
        return _amount(parts)

    def _united(self, parts: Sequence[Part], unit: str) -> Quantity:
        (quantity,) = _quantities(parts)
        return Quantity(number=quantity.number, unit=unit, at=_span(parts))

    def percent(self, parts: Parts) -> Quantity:
        return self._united(parts, "%")

    def points(self, parts: Parts) -> Quantity:
        return self._united(parts, "points")

    def duration(self, parts: Parts) -> Quantity:
        return self._united(parts, words.TIME_UNITS[_text(_tokens(parts)["TIME_UNIT"])])

    def bytes(self, parts: Parts) -> Quantity:
        return self._united(parts, words.BYTE_UNITS[_text(_tokens(parts)["BYTE_UNIT"]).lstrip("-")])

    def parameters(self, parts: Parts) -> Quantity:
        return self._united(parts, words.SIZE_UNITS[_text(_tokens(parts)["SIZE_UNIT"]).lstrip("-")])

    def rate(self, parts: Parts) -> Quantity:
        tokens = _tokens(parts)
        quantity = self._united(parts, "tok/s")
        return replace(
            quantity,
            number=quantity.number * (1000 if "K" in tokens else 1),
            bound=Direction.UP if "PLUS" in tokens else _amount(parts).bound,
        )

    def money(self, parts: Parts) -> Quantity:
        return self._united(parts, words.currency(_text(_tokens(parts)["CURRENCY"])))

    def tokens(self, parts: Parts) -> Quantity:
        quantity = self._united(parts, "tokens")
        return replace(quantity, number=quantity.number * (1024 if "K" in _tokens(parts) else 1))

    # -- model and hardware

    def model_named(self, parts: Parts) -> Clause:
        token = _tokens(parts)["MODEL"]
        return ModelNamed(model_id=_text(token), text=_text(token), at=_span(parts))

    def family_named(self, parts: Parts) -> Clause:
        return FamilyNamed(family=_text(_tokens(parts)["FAMILY"]), at=_span(parts))

    def size_named(self, parts: Parts) -> Clause:
        return SizeNamed(size=_amount(parts), at=_span(parts))

    def any_model(self, parts: Parts) -> Clause:
        return AnyModel(at=_span(parts))

    def any_hardware(self, parts: Parts) -> Clause:
        return AnyHardware(at=_span(parts))

    def device_named(self, parts: Parts) -> Clause:
        return DeviceNamed(
            device_id=_text(_tokens(parts)["DEVICE"]),
            count=next(iter(_quantities(parts)), None),
            at=_span(parts),
        )

    def memory_word(self, parts: Parts) -> Token:
        return _only(parts)

    processor = memory_word
    metric = memory_word

    def memory(self, parts: Parts) -> Clause:
        tokens = _tokens(parts)
        counts = [quantity for quantity in _quantities(parts) if not quantity.unit]
        if "COUNT_WORD" in tokens:
            counts.append(self.number([tokens["COUNT_WORD"]]))
        named = [MemoryWord(name) for name in tokens if name in MemoryWord.__members__]
        return MemoryStated(
            size=_amount([part for part in parts if part not in counts]),
            word=named[0] if named else None,
            count=counts[0] if counts else None,
            at=_span(parts),
        )

    def processor_named(self, parts: Parts) -> Clause:
        kinds = [words.PROCESSORS[name] for name in _tokens(parts) if name in words.PROCESSORS]
        return ProcessorNamed(kind=kinds[0], count=next(iter(_quantities(parts)), None), at=_span(parts))

    def cards(self, parts: Parts) -> Clause:
        token = _only(parts)
        text = _text(token)
        digits = "".join(character for character in text if character in "0123456789")
        spelled = [count for word, count in words.COUNTS.items() if text.startswith(word)]
        number = Decimal(digits or max(spelled))
        return CountStated(count=Quantity(number=number, at=_span((token,))), at=_span((token,)))

    def split(self, parts: Parts) -> Clause:
        token = _only(parts)
        text = _text(token)
        count = Quantity(number=Decimal("".join(c for c in text if c in "0123456789")), at=_span((token,)))
        return SplitStated(field=words.split_field(text), count=count, at=_span((token,)))

    def nodes(self, parts: Parts) -> Clause:
        (count,) = _quantities(parts)
        return NodesStated(count=count, spread="ACROSS" in _tokens(parts), at=_span(parts))

    def slice(self, parts: Parts) -> Clause:
        name = _text(_tokens(parts)["SLICE"]).removeprefix("mig").lstrip(" -").removesuffix("+me")
        return SliceNamed(name=name, count=next(iter(_quantities(parts)), None), at=_span(parts))

    def request_rate(self, parts: Parts) -> Clause:
        return RequestRateStated(amount=_amount(parts), at=_span(parts))

    def disk(self, parts: Parts) -> Clause:
        return DiskStated(size=_amount(parts), at=_span(parts))

    # -- accuracy

    def task(self, parts: Parts) -> Clause:
        token = _only(parts)
        name = _unquoted(token) if token.type == "QUOTED" else words.task(_text(token))
        return TaskNamed(task=name, at=_span((token,)))

    task_named = task

    def loss(self, parts: Parts) -> Clause:
        kind = _tokens(parts).get("KIND")
        return LossStated(
            amount=_amount(parts),
            kind=None if kind is None else words.loss_kind(_text(kind)),
            task=_task(parts),
            at=_span(parts),
        )

    def recovery(self, parts: Parts) -> Clause:
        return RecoveryStated(amount=_amount(parts), task=_task(parts), at=_span(parts))

    def against_baseline(self, parts: Parts) -> Clause:
        tokens = _tokens(parts)
        return AccuracyStated(
            amount=_amount(parts),
            against_baseline="OF_BASELINE" in tokens or "KEEP" in tokens,
            task=_task(parts),
            at=_span(parts),
        )

    def certified(self, parts: Parts) -> Clause:
        return CertifiedOnly(at=_span(parts))

    def confidence(self, parts: Parts) -> Clause:
        return ConfidenceStated(amount=_amount(parts), at=_span(parts))

    # -- speed and load

    def latency(self, parts: Parts) -> Clause:
        tokens = _tokens(parts)
        metric = next(words.METRICS[name] for name in tokens if name in words.METRICS)
        named = tokens.get("QUANTILE")
        return LatencyStated(
            metric=metric,
            limit=_amount(parts),
            quantile=None if named is None else words.quantile(_text(named)),
            at=_span(parts),
        )

    def quantile_named(self, parts: Parts) -> Clause:
        token = _only(parts)
        return QuantileNamed(quantile=words.quantile(_text(token)), at=_span((token,)))

    def throughput(self, parts: Parts) -> Clause:
        scope = _tokens(parts).get("SCOPE")
        return ThroughputStated(
            rate=_amount(parts),
            scope=None if scope is None else words.scope(_text(scope)),
            at=_span(parts),
        )

    def cost(self, parts: Parts) -> Clause:
        basis = _tokens(parts).get("COST_BASIS")
        return CostStated(
            amount=_amount(parts),
            basis=None if basis is None else words.cost_basis(_text(basis)),
            at=_span(parts),
        )

    def _workload(self, part: WorkloadPart, parts: Sequence[Part]) -> Clause:
        return WorkloadStated(part=part, amount=_amount(parts), at=_span(parts))

    def input(self, parts: Parts) -> Clause:
        return self._workload(WorkloadPart.INPUT, parts)

    def output(self, parts: Parts) -> Clause:
        return self._workload(WorkloadPart.OUTPUT, parts)

    def context(self, parts: Parts) -> Clause:
        return self._workload(WorkloadPart.CONTEXT, parts)

    def concurrency(self, parts: Parts) -> Clause:
        return self._workload(WorkloadPart.CONCURRENCY, parts)

    def bare_number(self, parts: Parts) -> Clause:
        return BareNumber(number=_amount(parts), at=_span(parts))

    # -- choices

    def word(self, parts: Parts) -> Clause:
        tokens = [part for part in parts if isinstance(part, Token)]
        return SchemeWord(words=tuple(words.scheme_word(_text(token)) for token in tokens), at=_span(tokens))

    excluded = word

    def scheme(self, parts: Parts) -> Clause:
        return SchemesNamed(schemes=_scheme_words(parts), at=_span(parts))

    def mention(self, parts: Parts) -> Clause:
        return Separator(
            at=_span(parts)
        )  # "which quant of …": the question is about schemes, as every question is

    def exclusion(self, parts: Parts) -> Clause:
        return SchemesNamed(schemes=_scheme_words(parts), exclude=True, at=_span(parts))

    def not_excludable(self, parts: Parts) -> Clause:
        return Refused(reason="exclusion", at=_span(parts))

    def runtime(self, parts: Parts) -> Clause:
        tokens = _tokens(parts)
        named = tokens.get("RUNTIME")
        name = _unquoted(tokens["QUOTED"]) if named is None else canonical(_text(named).replace(" ", ""))
        version = tokens.get("VERSION")
        number = None if version is None else words.version(_text(version))
        return RuntimeNamed(name=name, version=number, at=_span(parts))

    def format(self, parts: Parts) -> Clause:
        tokens = _tokens(parts)
        named = tokens.get("FORMAT")
        if named is None:
            return FormatNamed(name=_unquoted(tokens["QUOTED"]), at=_span(parts))
        return FormatNamed(name="gguf" if _text(named) == "gguf" else "safetensors", at=_span(parts))

    def license(self, parts: Parts) -> Clause:
        tokens = _tokens(parts)
        named = tokens.get("LICENSE")
        name = _unquoted(tokens["QUOTED"]) if named is None else words.license_name(_text(named))
        return LicenseNamed(name=name, at=_span(parts))

    def risk(self, parts: Parts) -> Clause:
        return RiskStated(amount=_amount(parts), at=_span(parts))

    def objective(self, parts: Parts) -> Clause:
        token = _only(parts)
        return ObjectiveNamed(objective=words.OBJECTIVES[token.type], at=_span((token,)))

    def preset(self, parts: Parts) -> Clause:
        token = _only(parts)
        return PresetNamed(preset_id=_text(token), at=_span((token,)))

    def unlimited_loss(self, parts: Parts) -> Clause:
        task = _task(parts)
        return Unlimited(key=f"loss:{task}" if task else "loss", at=_span(parts))

    def unlimited(self, parts: Parts) -> Clause:
        tokens = _tokens(parts)
        key = next(words.LIMIT_KEYS[name] for name in tokens if name in words.LIMIT_KEYS)
        if "EXCLUDED" in tokens:
            key = "scheme-excluded"
        if "COST_BASIS" in tokens:
            key = cost_key(words.cost_basis(_text(tokens["COST_BASIS"])))
        return Unlimited(key=key, at=_span(parts))

    def refused(self, parts: Parts) -> Clause:
        token = _only(parts)
        reason = "lossless" if token.type == "LOSSLESS" else words.refusal(_text(token))
        return Refused(reason=reason, at=_span((token,)))


def _scheme_words(parts: Sequence[Part]) -> tuple[SchemeWord, ...]:
    named = [part for part in parts if isinstance(part, SchemeWord)]
    quoted = [part for part in parts if isinstance(part, Token) and part.type == "QUOTED"]
    return (*named, *(SchemeWord(words=(_unquoted(token),), at=_span((token,))) for token in quoted))
