"""Which model and which hardware the clauses of a query mean together."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeVar

from planner.choose.language import words
from planner.choose.language.amounts import contradiction, pointing_at, refuse_bound, whole
from planner.choose.language.clauses import (
    AnyHardware,
    AnyModel,
    Clause,
    CountStated,
    DeviceNamed,
    FamilyNamed,
    MemoryStated,
    MemoryWord,
    ModelNamed,
    NodesStated,
    ProcessorNamed,
    Quantity,
    SizeNamed,
    SliceNamed,
    SplitStated,
)
from planner.choose.language.text import Source
from planner.choose.language.vocabulary import NameKind, Vocabulary
from planner.domain.constraint import Direction
from planner.domain.device import Device, DeviceKind
from planner.domain.model import Model
from planner.domain.naming import fold, is_within_family
from planner.domain.partition import partition_of
from planner.domain.scenario import Hardware, ModelSelector, SelectorKind
from planner.domain.units import parse_bytes
from planner.errors import InvalidQuery

C = TypeVar("C", bound=Clause)

_SAME_MEMORY: Final = 0.08
"""A card's memory is sold as 24 GB or 24 GiB; the two differ by 7.4 %."""
_SIZE_IN_NAME: Final = re.compile(r"[0-9] ?[bm](?![a-z0-9])")
_MEMORY_IN_NAME: Final = re.compile(r" ?(?:\(.*|[0-9]+ ?gb)$")
_KIND_OF_WORD: Final[Mapping[MemoryWord | None, DeviceKind]] = {
    MemoryWord.VRAM: DeviceKind.GPU,
    MemoryWord.GPU: DeviceKind.GPU,
    MemoryWord.RAM: DeviceKind.CPU,
    MemoryWord.BOARD: DeviceKind.BOARD,
}


def _of(clauses: Sequence[Clause], kind: type[C]) -> list[C]:
    return [clause for clause in clauses if isinstance(clause, kind)]


def _both(source: Source, what: str, one: Clause, other: Clause) -> InvalidQuery:
    """Return the contradiction of two clauses in whichever order they were written."""
    first, second = sorted((one, other), key=lambda clause: clause.start)
    return contradiction(source, what, first, second)


def select_model(source: Source, clauses: Sequence[Clause], vocabulary: Vocabulary) -> ModelSelector | None:
    """Return the models meant, None when the query does not say. Raises InvalidQuery on a contradiction."""
    named, families, sizes = _of(clauses, ModelNamed), _of(clauses, FamilyNamed), _of(clauses, SizeNamed)
    anything = _of(clauses, AnyModel)
    said: list[Clause] = sorted([*named, *families, *sizes], key=lambda clause: clause.start)
    if anything:
        if said:
            raise contradiction(
                source, "model", *sorted((said[0], anything[0]), key=lambda clause: clause.start)
            )
        return ModelSelector()
    for other in named[1:]:
        if other.model_id != named[0].model_id:
            raise contradiction(source, "model", named[0], other)
    for family in families[1:]:
        if family.family != families[0].family:
            raise contradiction(source, "family", families[0], family)
    size = _size(source, sizes)
    if named:
        _require_family(source, named[0], families, vocabulary)
        return _one_model(source, named[0], sizes, size, vocabulary)
    if families:
        selector = ModelSelector(kind=SelectorKind.FAMILY, value=families[0].family, size_billions=size)
        if size is not None:
            _require_size(source, selector, sizes[-1], vocabulary)
        return selector
    return None if size is None else ModelSelector(kind=SelectorKind.SIZE, size_billions=size)


def _size(source: Source, sizes: Sequence[SizeNamed]) -> float | None:
    if not sizes:
        return None
    billions = [_billions(source, clause.size) for clause in sizes]
    for clause, value in zip(sizes, billions, strict=True):
        if value != billions[0]:
            raise contradiction(source, "model size", sizes[0], clause)
    return billions[0]


def _billions(source: Source, size: Quantity) -> float:
    if size.bound is not None:
        raise source.error(
            "a size class is one size, not a bound; to bound what the model costs, limit memory or the size on disk",
            size.start,
            size.end,
            expected=("`13B`", "`24GB`", "`under 10GB on disk`"),
        )
    value = float(size.number * Decimal(size.unit))
    with pointing_at(source, size):
        ModelSelector(kind=SelectorKind.SIZE, size_billions=value)
    return value


def _one_model(
    source: Source,
    named: ModelNamed,
    sizes: Sequence[SizeNamed],
    size: float | None,
    vocabulary: Vocabulary,
) -> ModelSelector:
    model = vocabulary.model(named.model_id)
    if model is not None and size is not None:
        asked = ModelSelector(kind=SelectorKind.SIZE, size_billions=size)
        if not asked.selects(model):
            # "deepseek r1 7b": the name is a model's and also the beginning of a family that has this size
            family_name = vocabulary.find(NameKind.FAMILY, source.text[named.start : named.end])
            if family_name is not None:
                wider = ModelSelector(kind=SelectorKind.FAMILY, value=family_name, size_billions=size)
                if any(wider.selects(other) for other in vocabulary.models):
                    return wider
            _require_own_size(source, named, sizes[0], model, vocabulary)
            raise contradiction(
                source, "model size", *sorted((named, sizes[0]), key=lambda clause: clause.start)
            )
    return ModelSelector(kind=SelectorKind.MODEL, value=named.model_id)


def _require_own_size(
    source: Source, named: ModelNamed, size: SizeNamed, model: Model, vocabulary: Vocabulary
) -> None:
    """Raise InvalidQuery, naming the sizes there are, when the name says no size itself: "gpt-oss 120b"."""
    name = source.original_slice(named.start, named.end)
    if _SIZE_IN_NAME.search(name.lower()):
        return
    known = sorted({other.size_billions for other in vocabulary.models if other.family == model.family})
    sizes = ", ".join(f"{value:g}B" for value in known)
    asked = source.original_slice(size.start, size.end)
    raise source.error(
        f"`{name}` has {sizes} in the catalogue, and {asked} is not there",
        size.start,
        size.end,
        expected=tuple(f"`{value:g}B`" for value in known),
    )


def _require_family(
    source: Source, named: ModelNamed, families: Sequence[FamilyNamed], vocabulary: Vocabulary
) -> None:
    """Raise InvalidQuery when the model is named beside a family it is not of."""
    model = vocabulary.model(named.model_id)
    for family in families:
        if model is not None and not is_within_family(model.family, family.family):
            raise _both(source, "model", named, family)


def _require_size(source: Source, selector: ModelSelector, size: SizeNamed, vocabulary: Vocabulary) -> None:
    """Raise InvalidQuery when the family is known and none of its models has this size."""
    family = ModelSelector(kind=SelectorKind.FAMILY, value=selector.value)
    known = sorted({model.size_billions for model in vocabulary.models if family.selects(model)})
    if known and not any(selector.selects(model) for model in vocabulary.models):
        raise source.error(
            f"family {selector.value} has no {selector.size_billions:g}B model",
            size.start,
            size.end,
            expected=tuple(f"`{value:g}B`" for value in known),
        )


@dataclass(frozen=True, slots=True)
class _Memory:
    stated: MemoryStated
    bytes: int


def select_hardware(source: Source, clauses: Sequence[Clause], vocabulary: Vocabulary) -> Hardware | None:
    """Return the hardware meant, None when the query does not say. Raises InvalidQuery on a contradiction."""
    devices, memories = _of(clauses, DeviceNamed), _memories(source, clauses)
    processors, anything = _of(clauses, ProcessorNamed), _of(clauses, AnyHardware)
    nodes, slices = _of(clauses, NodesStated), _of(clauses, SliceNamed)
    splits = _of(clauses, SplitStated)
    counts = _counts(clauses)
    said: list[Clause] = [
        *devices,
        *(memory.stated for memory in memories),
        *processors,
        *nodes,
        *slices,
        *_of(clauses, CountStated),
        *splits,
    ]
    said.sort(key=lambda clause: clause.start)
    if anything and said:
        raise contradiction(
            source, "hardware", *sorted((said[0], anything[0]), key=lambda clause: clause.start)
        )
    if not said:
        return None
    for other in devices[1:]:
        if other.device_id != devices[0].device_id:
            raise contradiction(source, "device", devices[0], other)
    for other_memory in memories[1:]:
        pair = (memories[0].stated, other_memory.stated)
        ram = next((stated for stated in pair if stated.word is MemoryWord.RAM), None)
        others = {stated.word for stated in pair} & {None, MemoryWord.VRAM, MemoryWord.GPU}
        if ram is not None and others and not (devices and _has_one_memory(devices[0], vocabulary)):
            raise _beside(source, ram)
        if other_memory.bytes != memories[0].bytes:
            raise contradiction(source, "device memory", memories[0].stated, other_memory.stated)
    device = vocabulary.device(devices[0].device_id) if devices else None
    if device is not None and memories:
        device = _with_memory(source, device, memories, vocabulary)
    kind = _kind(source, devices[0] if devices else None, device, processors, memories)
    device_id = device.id if device is not None else devices[0].device_id if devices else None
    with pointing_at(source, (slices or nodes or said)[0]):
        asked = _splits(source, splits)
        # "70B on H100, tp 4" is on four of them, where nothing else says how many.
        counted = _count(source, counts) if counts or nodes else math.prod(asked.values())
        count, machines = _on_nodes(source, counted, nodes)
    with pointing_at(source, (splits or slices or nodes or said)[0]):
        return Hardware(
            device_id=device_id,
            count=count,
            memory_bytes=_memory_bytes(memories, device),
            kind=kind,
            nodes=machines,
            partition=_partition(source, slices, device_id),
            **asked,
        )


def _splits(source: Source, splits: Sequence[SplitStated]) -> dict[str, int]:
    """Return the parallelism asked for, by field of Hardware."""
    said: dict[str, SplitStated] = {}
    for split in splits:
        other = said.setdefault(split.field, split)
        if other.count.number != split.count.number:
            raise contradiction(source, split.field.replace("_", " "), other, split)
    return {name: whole(source, split.count, f"hardware.{name}", top=1024) for name, split in said.items()}


def _on_nodes(source: Source, count: int, nodes: Sequence[NodesStated]) -> tuple[int, int]:
    """Return how many devices there are in all, and in how many machines: the count is that of one, unless spread."""
    if not nodes:
        return count, 1
    for other in nodes[1:]:
        if other.count.number != nodes[0].count.number:
            raise contradiction(source, "number of nodes", nodes[0], other)
    machines = whole(source, nodes[0].count, "hardware.nodes", top=1024)
    return (count if any(node.spread for node in nodes) else count * machines), machines


def _partition(source: Source, slices: Sequence[SliceNamed], device_id: str | None) -> str | None:
    """Return the slice of the device. Raises InvalidQuery without a device, and for a slice it does not have."""
    if not slices:
        return None
    for other in slices[1:]:
        if other.name != slices[0].name:
            raise contradiction(source, "slice", slices[0], other)
    if device_id is None:
        raise source.error(
            "a slice is one of a named device",
            slices[0].start,
            slices[0].end,
            expected=(f"`{slices[0].name} of an a100-80gb-sxm`",),
        )
    return partition_of(device_id, slices[0].name).name


def _memories(source: Source, clauses: Sequence[Clause]) -> list[_Memory]:
    memories: list[_Memory] = []
    for clause in _of(clauses, MemoryStated):
        refuse_bound(source, clause.size, Direction.UP, "device memory is what you have", "24GB")
        text = f"{clause.size.number:f}{clause.size.unit}"
        with pointing_at(source, clause.size):
            memories.append(_Memory(clause, parse_bytes(text, field="hardware.memory", binary=True)))
    return memories


def _with_memory(
    source: Source, device: Device, memories: Sequence[_Memory], vocabulary: Vocabulary
) -> Device:
    """Return the device sold with the stated memory under the same name, else the named one: "m3 max with 48GB"."""
    if _memory_bytes(memories, device) is None or any(
        memory.stated.word is MemoryWord.LIMITED for memory in memories
    ):
        return device
    stated = memories[0].stated
    same = [
        other
        for other in vocabulary.devices
        if _MEMORY_IN_NAME.sub("", fold(other.name)) == _MEMORY_IN_NAME.sub("", fold(device.name))
        and _memory_bytes(memories, other) is None
    ]
    if len(same) > 1:
        raise source.error(
            f"more than one `{device.id}` has this memory",
            stated.start,
            stated.end,
            expected=tuple(f"`{other.id}`" for other in same),
        )
    return same[0] if same else device


def _memory_bytes(memories: Sequence[_Memory], device: Device | None) -> int | None:
    """Return the memory to use, None when it only repeats what the named device has."""
    if not memories:
        return None
    stated = memories[0]
    limited = any(memory.stated.word is MemoryWord.LIMITED for memory in memories)
    if device is not None and not limited:
        difference = abs(stated.bytes - device.memory_bytes)
        if difference <= _SAME_MEMORY * device.memory_bytes:
            return None
    return stated.bytes


def _counts(clauses: Sequence[Clause]) -> list[Quantity]:
    return [
        clause.count
        for clause in clauses
        if isinstance(clause, DeviceNamed | MemoryStated | ProcessorNamed | CountStated | SliceNamed)
        and clause.count is not None
    ]


def _count(source: Source, counts: Sequence[Quantity]) -> int:
    if not counts:
        return 1
    for other in counts[1:]:
        if other.number != counts[0].number:
            raise contradiction(source, "number of devices", counts[0], other)
    return whole(source, counts[0], "hardware.count", top=1024)


def _kind(
    source: Source,
    named: DeviceNamed | None,
    device: Device | None,
    processors: Sequence[ProcessorNamed],
    memories: Sequence[_Memory],
) -> DeviceKind:
    """Return the kind of device: the named one's, else the one its words agree on, else a GPU."""
    words: list[tuple[Clause, DeviceKind]] = [(processor, processor.kind) for processor in processors]
    words += [
        (memory.stated, kind)
        for memory in memories
        if (kind := _KIND_OF_WORD.get(memory.stated.word)) is not None and not _shares_memory(device)
    ]
    words.sort(key=lambda pair: pair[0].start)
    kind = device.kind if device is not None else words[0][1] if words else DeviceKind.GPU
    for clause, other in words:
        if other is kind or (kind is DeviceKind.BOARD and other is DeviceKind.GPU):
            continue
        if other is DeviceKind.CPU and isinstance(clause, MemoryStated):
            raise _beside(source, clause)
        first = named if named is not None else words[0][0]
        raise contradiction(source, "kind of device", first, clause)
    return kind


def _beside(source: Source, ram: Clause) -> InvalidQuery:
    """Return the refusal of memory beside that of a GPU."""
    text = source.original_slice(ram.start, ram.end)
    return source.error(
        f"`{text}` beside a GPU: {words.OFFLOAD}",
        ram.start,
        ram.end,
        expected=("the GPU alone", "`cpu with 32GB RAM`"),
    )


def _has_one_memory(named: DeviceNamed, vocabulary: Vocabulary) -> bool:
    return _shares_memory(vocabulary.device(named.device_id))


def _shares_memory(device: Device | None) -> bool:
    """Return whether the device has one memory only, which may be called RAM and VRAM alike."""
    return device is not None and device.kind is not DeviceKind.GPU
