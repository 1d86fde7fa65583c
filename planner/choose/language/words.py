"""What the words of the grammar stand for, and how errors speak of its terminals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from planner.domain.constraint import CostBasis, LatencyMetric, Scope
from planner.domain.device import DeviceKind
from planner.domain.loss import LossKind
from planner.domain.scenario import Objective

COUNTS: Final[Mapping[str, int]] = {
    "one": 1, "single": 1, "单": 1, "一": 1, "two": 2, "dual": 2, "double": 2, "pair of": 2, "a pair of": 2, "两": 2,
    "二": 2, "双": 2, "three": 3, "三": 3, "four": 4, "quad": 4, "四": 4, "five": 5, "五": 5, "six": 6, "六": 6, "seven": 7,
    "七": 7, "eight": 8, "八": 8, "九": 9, "ten": 10, "十": 10,
}  # fmt: skip

TIME_UNITS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds", "毫秒"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "秒", "秒钟"), "s"),
    **dict.fromkeys(("us", "µs", "μs", "microseconds", "微秒"), "us"),
    **dict.fromkeys(("min", "minute", "minutes", "分钟"), "min"),
    **dict.fromkeys(("h", "hour", "hours", "小时"), "h"),
}
"""Written unit of time → the unit `planner.domain.units.parse_seconds` reads."""

BYTE_UNITS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("g", "gb", "gig", "gigs", "gigabyte", "gigabytes"), "GB"),
    **dict.fromkeys(("mb", "megabytes"), "MB"),
    **dict.fromkeys(("tb", "terabytes"), "TB"),
    **dict.fromkeys(("byte", "bytes"), "B"),
    "kb": "KB", "gib": "GiB", "mib": "MiB", "tib": "TiB", "kib": "KiB",
}  # fmt: skip
"""Written unit of size → the unit `planner.domain.units.parse_bytes` reads."""

SIZE_UNITS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("b", "bn", "billion", "十亿"), "1"),
    **dict.fromkeys(("m", "million", "百万"), "0.001"),
    **dict.fromkeys(("t", "trillion", "万亿"), "1000"),
    "亿": "0.1",
}
"""Written unit of parameters → billions, as a decimal."""

METRICS: Final[Mapping[str, LatencyMetric]] = {
    "TTFT": LatencyMetric.TTFT,
    "TPOT": LatencyMetric.TPOT,
    "ITL": LatencyMetric.ITL,
    "E2E": LatencyMetric.END_TO_END,
}
OBJECTIVES: Final[Mapping[str, Objective]] = {
    "MOST_ACCURATE": Objective.MOST_ACCURATE,
    "FASTEST": Objective.FASTEST,
    "SMALLEST": Objective.SMALLEST,
    "CHEAPEST": Objective.CHEAPEST,
    "HIGHEST_THROUGHPUT": Objective.HIGHEST_THROUGHPUT,
}
PROCESSORS: Final[Mapping[str, DeviceKind]] = {
    "GPU": DeviceKind.GPU,
    "CPU": DeviceKind.CPU,
    "BOARD": DeviceKind.BOARD,
}
LIMIT_KEYS: Final[Mapping[str, str]] = {
    **{terminal: metric.value for terminal, metric in METRICS.items()},
    "THROUGHPUT": "throughput",
    "COST": "cost",
    "DISK": "disk",
    "RUNTIME_KEY": "runtime",
    "FORMAT_KEY": "format",
    "LICENSE_KEY": "license",
    "SCHEME_KEY": "scheme",
}
"""Terminal after "no … limit" → the key of the constraint it takes away."""

SCHEME_METHODS: Final = frozenset(
    {"awq", "gptq", "hqq", "rtn", "qat", "smoothquant", "autoround", "aqlm", "quip#", "spqr", "bitsandbytes", "exl2"}
)  # fmt: skip
_TREATMENTS: Final = frozenset({"weight-only", "dynamic", "static"})
REFERENCE_SCHEMES: Final = ("fp32", "bf16", "fp16")
_SCHEME_SYNONYMS: Final[Mapping[str, str]] = {
    "bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "half precision": "fp16", "半精度": "fp16",
    "full precision": "fp32", "全精度": "fp32", "weight only": "weight-only", "bnb": "bitsandbytes",
}  # fmt: skip

OFFLOAD: Final = (
    "weights and KV cache are planned in the memory of the device alone; leaving part of them in the machine's memory "
    "(offloading) is refused, since what it costs in speed is not estimated"
)
"""Why a question that counts on the memory beside a GPU is not answered."""

REFUSALS: Final[Mapping[str, tuple[str, str | None]]] = {
    "lossless": ("how much loss is meant by it is not defined", "loss ≤ 0.1%"),
    "period": ("cost is bounded per hour or per million output tokens", "cost ≤ $2 per hour"),
    "power": ("power is not a bound of a scenario", "jetson orin nano"),
    "exclusion": ("only schemes and formats can be excluded; models, devices, runtimes and licenses are chosen", "not int4"),
    "kv cache": ("the precision of the KV cache belongs to each variant's scheme and is not part of a scenario", None),
    "offload": (OFFLOAD, "cpu with 64GB RAM"),
    "carried": ("what a placement holds, in context and in requests at once, is in every answer; ask about model and hardware alone", None),
    "size range": ("a size class is one size, not a range; ask once per model size", None),
    "open source": ("which licenses count as open is not defined; name one", "apache license"),
}  # fmt: skip
"""What is understood and cannot be answered → why, and what to say instead."""


def split_field(text: str) -> str:
    """Return the field of Hardware that a word of splitting is about."""
    if "replica" in text or "副本" in text:
        return "replicas"
    return (
        "pipeline_parallel"
        if text.startswith("pp") or "pipeline" in text or "流水线" in text
        else "tensor_parallel"
    )


def scheme_word(text: str) -> str:
    """Return the canonical spelling of one scheme word: "4bit" for "4-bit", "int4" for "INT 4"."""
    word = _SCHEME_SYNONYMS.get(text, text)
    if bits := re.fullmatch(r"([0-9]+)[ -]?(?:bits?|比特|位)(-.*)?", word):
        return f"{int(bits[1])}bit{bits[2] or ''}"
    if named := re.fullmatch(r"(u?int|fp|float|w)[ -]?([0-9]+)(.*)", word):
        prefix = {"uint": "int", "float": "fp"}.get(named[1], named[1])
        if prefix == "w" and not named[3]:
            return f"{named[2]}bit"
        return f"{prefix}{named[2]}{named[3]}"
    return word


def joined_scheme(words: tuple[str, ...]) -> str | None:
    """Return the one word two scheme words make together, None when they do not: "int4-awq" for "awq int4"."""
    said = tuple(word for word in words if word not in {"quantized", "quantised"})
    words = said if len(words) == 2 and len(said) == 1 else words
    if len(words) == 1:
        return words[0]
    if len(words) != 2:
        return None
    qualifiers = [
        word for word in words if word in SCHEME_METHODS or word in _TREATMENTS or re.fullmatch(r"g\d+", word)
    ]
    precisions = [word for word in words if word not in qualifiers]
    if len(qualifiers) != 1:
        return None
    return f"{precisions[0]}-{qualifiers[0]}"


def loss_kind(text: str) -> LossKind:
    """Return the kind of loss a word names."""
    return LossKind.RELATIVE if text in {"relative", "相对"} else LossKind.ABSOLUTE


_CURRENCIES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("$", "us$", "dollar", "dollars", "美元", "美金"), "USD"),
    **dict.fromkeys(("€", "euro", "euros", "欧元"), "EUR"),
    **dict.fromkeys(("£", "pound", "pounds", "英镑"), "GBP"),
    **dict.fromkeys(("rmb", "yuan", "人民币", "块钱", "元"), "CNY"),
    **dict.fromkeys(("yen", "日元"), "JPY"),
}


def currency(text: str) -> str:
    """Return the ISO 4217 code of a currency as written: "USD" for "$", "CHF" for "chf"."""
    return _CURRENCIES.get(text, text.upper())


def cost_basis(text: str) -> CostBasis:
    """Return what a cost is counted by."""
    return CostBasis.MILLION_TOKENS if re.search(r"tok|词元", text) else CostBasis.HOUR


def quantile(text: str) -> str:
    """Return the quantile a word names: "p95" for "95th percentile", "mean" for "average"."""
    if text in {"mean", "average", "avg", "平均", "均值"}:
        return "mean"
    if text in {"median", "中位", "中位数"}:
        return "p50"
    return "p" + re.sub(r"\D", "", text)


def scope(text: str) -> Scope:
    """Return what a throughput counts by the word that says so."""
    return (
        Scope.AGGREGATE
        if text in {"total", "in total", "aggregate", "overall", "combined", "总", "总计", "总共"}
        else Scope.REQUEST
    )


_TASK_SYNONYMS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("ppl", "困惑度"), "perplexity"),
    **dict.fromkeys(("mmlu_pro", "mmlu pro"), "mmlu-pro"),
    **dict.fromkeys(("arc-c", "arc challenge", "arc_challenge"), "arc-challenge"),
    **dict.fromkeys(("arc-e", "arc easy", "arc_easy"), "arc-easy"),
    **dict.fromkeys(("wikitext2", "wikitext 2"), "wikitext-2"),
    "ceval": "c-eval", "math 500": "math-500", "truthfulqa_mc1": "truthfulqa mc1", "lambada_openai": "lambada",
}  # fmt: skip


def task(text: str) -> str:
    """Return the name under which a task of the grammar is looked for among evaluations."""
    return _TASK_SYNONYMS.get(text, text)


def license_name(text: str) -> str:
    """Return the canonical name of a license: "commercial" for anything that asks for commercial use."""
    if text.startswith("apache"):
        return "apache"
    if "commercial" in text or "商" in text:
        return "commercial"
    return text


def version(text: str) -> str:
    """Return the numbers of a version: "0.10.1" for "v0.10.1" and "version 0.10.1"."""
    return re.sub(r"^(?:version |版本 ?|v)", "", text)


def refusal(text: str) -> str:
    """Return the key of REFUSALS for a word that cannot be answered."""
    if text in {"w", "watt", "watts"}:
        return "power"
    if re.search(r"^(?:max|longest|largest|how)|多少|几个?(?:用户|并发|请求)", text):
        return "carried"
    if re.search(r"off-?load|卸载", text):
        return "offload"
    if re.search(r"kv[ -]?cache|kv ?缓存", text):
        return "kv cache"
    if re.fullmatch(r"[0-9.].*b", text):
        return "size range"
    if text.startswith("open"):
        return "open source"
    return "period"


CLAUSES: Final = (
    "a model or size (`qwen2.5 7b`, `13B`)",
    "hardware (`24GB`, `2x4090`, `2 nodes of 8xH100`, `1g.10gb of an a100-80gb-sxm`, `cpu with 32GB RAM`)",
    "a loss limit (`≤1% loss`)",
    "a latency or throughput bound (`TTFT < 500ms`, `≥ 100 tok/s`)",
    "a cost (`≤ $2 per hour`, `under 1 EUR per million tokens`)",
    "a workload (`32k context`, `16 users`, `20 requests per second`)",
    "a scheme, runtime, format or license (`int4`, `vllm`, `gguf`, `apache`)",
    "an objective (`fastest`)",
    "a preset",
)
"""What may come where a new clause can start."""

TERMINALS: Final[Mapping[str, str]] = {
    "SPLIT": "`tensor parallel 2`", "NUMBER": "a number", "COUNT_WORD": "a number", "PERCENT_OF": "a number", "PERCENT": "`%`", "POINTS": "`points`", "TIME_UNIT": "`ms` or `s`",
    "BYTE_UNIT": "`GB`", "SIZE_UNIT": "`B` (billion parameters)", "RATE": "`tok/s`", "PER_SECOND": "a number", "TOKENS": "`tokens`", "TIMES": "`x` and a device",
    "K": "`k` (thousand tokens)", "SCHEME": "a scheme such as `int4`", "FORMAT": "`gguf` or `safetensors`",
    "TASK": "a task such as `mmlu`", "LOSS": "`loss`", "KIND": "`relative` or `absolute`", "ACCURACY": "`accuracy`", "RECOVERY": "`recovery`", "OF_BASELINE": "`of the baseline`",
    "CONFIDENCE": "`confidence`", "RISK": "`risk`", "TTFT": "`TTFT`", "TPOT": "`TPOT`", "ITL": "`ITL`", "E2E": "`latency`",
    "QUANTILE": "a percentile such as `p95`", "AT_MOST": "a comparator such as `≤`", "AT_LEAST": "a comparator such as `≤`",
    "UNDER": "a comparator such as `≤`", "EQUAL": "a comparator such as `≤`", "OR_LESS": "`or less`", "OR_MORE": "`or more`",
    "MODEL": "a model", "FAMILY": "a family", "DEVICE": "a device", "PRESET": "a preset", "RUNTIME": "a runtime such as `vllm`", "LICENSE": "a license such as `apache`", "LIMIT": "`limit`",
    "GPU": "`gpu`", "CPU": "`cpu`", "BOARD": "`board`", "VRAM": "`VRAM`", "RAM": "`RAM`", "DISK": "`on disk`", "INPUT": "`input`", "IN": "`in`", "OUTPUT": "`out`",
    "CONTEXT": "`context`", "USERS": "`users`", "CONCURRENCY": "`concurrency`", "THROUGHPUT": "`throughput`", "QUOTED": 'a name in `"`', "OR": "`or`",
    "SCHEME_KEY": "`scheme`", "RUNTIME_KEY": "`runtime`", "FORMAT_KEY": "`format`", "LICENSE_KEY": "`license`", "PLUS": "`+`", "EXCLUDED": "`excluded scheme`",
    "NODES": "`nodes`", "ACROSS": "`across` and a number of nodes", "SLICE": "a slice such as `1g.10gb`", "REQUESTS_PER_SECOND": "`requests per second`",
    "VERSION": "a version such as `v0.10.1`", "CURRENCY": "a currency such as `$`", "COST": "`cost`",
    "COST_BASIS": "`per hour` or `per million tokens`",
}  # fmt: skip
"""Terminal of the grammar → how an error names it when it was expected."""
