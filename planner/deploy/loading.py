"""Loading: whether a runtime can load a variant, and if not, why not and which one can."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from planner.deploy.runtimes import RUNTIMES, RuntimeFacts
from planner.domain.device import DeviceKind
from planner.domain.runtime import canonical
from planner.domain.scheme import NumberFormat
from planner.domain.variant import FileFormat, Variant
from planner.errors import InvalidInput

_CONTAINERS: Final = {
    "aqlm": "aqlm", "auto-round": "auto-round", "autoround": "auto-round", "awq": "awq", "bitsandbytes": "bitsandbytes",
    "compressed-tensors": "compressed-tensors", "exl2": "exl2", "exl3": "exl3", "fbgemm_fp8": "fbgemm_fp8",
    "fp_quant": "fp_quant", "gptq": "gptq", "hqq": "hqq", "modelopt": "modelopt", "quip#": "quip", "torchao": "torchao",
    "vptq": "vptq",
}  # fmt: skip
"""Methods and libraries whose name is also that of the way they keep the weights."""


def containers_of(variant: Variant) -> frozenset[str]:
    """Return the ways of keeping quantized weights that the variant is known to use; empty when nothing says."""
    needed = (
        need.removeprefix("library:") for need in variant.provenance.needs if need.startswith("library:")
    )
    words = {variant.scheme.method or "", *needed}
    found = {_CONTAINERS[word] for word in words if word in _CONTAINERS}
    if variant.scheme.weight.format is NumberFormat.NF4:
        found.add("bitsandbytes")
    return frozenset(found)


def refusal(facts: RuntimeFacts, variant: Variant, kind: DeviceKind) -> str | None:
    """Return why the runtime cannot serve the variant on this kind of device, None when nothing speaks against it."""
    if kind not in facts.kinds:
        return f"{facts.name} {facts.version} on a {kind.value}: {facts.refusals[kind.value]}"
    form = variant.file_format
    if form is not FileFormat.UNKNOWN and form not in facts.formats:
        return f"{facts.name} {facts.version} cannot load {form.value} files: {facts.refusals[form.value]}"
    recorded = {canonical(name) for name in variant.runtimes}
    if recorded and facts.name not in recorded:
        return f"{variant.name} is recorded to load under {', '.join(sorted(recorded))} only"
    if form is FileFormat.UNKNOWN and "unknown" in facts.refusals:
        return f"the file format of {variant.name} is not known, and {facts.refusals['unknown']}"
    foreign = containers_of(variant) - facts.containers
    if foreign and form is not FileFormat.GGUF:
        return f"{facts.name} {facts.version} does not read weights kept by {', '.join(sorted(foreign))}"
    cache = variant.scheme.kv
    if cache is not None and cache.format not in facts.kv_words:
        words = ", ".join(facts.kv_words.values()) or "none but the model's own type"
        return f"{facts.name} {facts.version} has no KV cache of {cache.format.value}; it has {words}"
    return None


def check_loads(
    facts: RuntimeFacts, variant: Variant, kind: DeviceKind, *, others: Iterable[Variant] = ()
) -> None:
    """Raise InvalidInput when the runtime cannot serve the variant, saying why, what can, and which of `others` it could."""
    reason = refusal(facts, variant, kind)
    if reason is None:
        return
    able = [other.name for other in RUNTIMES.values() if refusal(other, variant, kind) is None]
    instead = next((other for other in others if refusal(facts, other, kind) is None), None)
    ways = [*able]
    if instead is not None:
        ways.append(f"with {facts.name} {instead.name}: add `{instead.scheme.name}` to the question")
    raise InvalidInput(
        "runtime", reason, allowed=", ".join(ways) or "another variant: no runtime loads this one"
    )


def first_loading(variant: Variant, kind: DeviceKind) -> RuntimeFacts | None:
    """Return the first runtime that can serve the variant, in the order of RUNTIMES; None when there is none."""
    return next((facts for facts in RUNTIMES.values() if refusal(facts, variant, kind) is None), None)
