"""The names a query may use: models, families, devices, presets and tasks, found longest first.

Names are compared by their runs of letters and digits (`planner.domain.naming`), kept in a tree of runs, so that one
walk along the query finds the longest name that starts at a place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import msgspec

from planner.choose.language.words import COUNTS
from planner.domain.device import Device
from planner.domain.model import Model
from planner.domain.naming import RUN, fold, name_runs
from planner.domain.scenario import Preset


class NameKind(IntEnum):
    """What a name names; where several kinds share a name, the first wins."""

    MODEL = 0
    DEVICE = 1
    PRESET = 2
    FAMILY = 3
    TASK = 4


class NameRank(IntEnum):
    """How a thing is called by a name; a better rank wins over the same name of another thing."""

    ID = 0
    NAME = 1
    ALIAS = 2
    SHORT = 3
    """What is left of a long name without vendor and bracket: "m3 max" of "Apple M3 Max (40-core GPU)"."""


@dataclass(frozen=True, slots=True)
class Name:
    """One name of one thing: `value` is its id, or the family or task itself."""

    kind: NameKind
    value: str
    rank: NameRank
    text: str


@dataclass(frozen=True, slots=True)
class Match:
    """A name found in a text: where it ends, and the things of the best rank that are called so."""

    end: int
    kind: NameKind
    values: tuple[str, ...]
    plural: bool = False
    """True when an "s" after the name was taken for a plural: "4090s"."""


@dataclass(slots=True)
class _Node:
    children: dict[str, _Node] = field(default_factory=dict[str, "_Node"])
    names: list[Name] = field(default_factory=list[Name])


_GAP: Final = re.compile(r"[ \-_./:+(),]{0,3}")
"""What may stand between two runs of one name."""
_EDGE: Final = re.compile(r"(?![a-z0-9])|(?=[x*×] ?\d)")
"""Where a name may end: before anything but a Latin letter or digit, or before a count such as "x2"."""
_PLURAL: Final = re.compile(r"s(?![a-z0-9])")


class Vocabulary(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Models, devices, presets and tasks a query can name. Made by `Vocabulary.build`; immutable."""

    models: tuple[Model, ...]
    devices: tuple[Device, ...]
    presets: tuple[Preset, ...]
    tasks: tuple[str, ...]
    root: _Node
    ids: dict[tuple[NameKind, str], Model | Device | Preset]

    @classmethod
    def build(
        cls,
        models: Iterable[Model] = (),
        devices: Iterable[Device] = (),
        presets: Iterable[Preset] = (),
        tasks: Iterable[str] = (),
    ) -> Vocabulary:
        """Return the vocabulary of these things. `tasks` are task names beyond those of the grammar."""
        models, devices, presets = tuple(models), tuple(devices), tuple(presets)
        tasks = tuple(dict.fromkeys(tasks))
        root = _Node()
        for name in _names(models, devices, presets, tasks):
            _insert(root, name)
        ids: dict[tuple[NameKind, str], Model | Device | Preset] = {}
        ids.update({(NameKind.MODEL, model.id): model for model in models})
        ids.update({(NameKind.DEVICE, device.id): device for device in devices})
        ids.update({(NameKind.PRESET, preset.id): preset for preset in presets})
        return cls(models=models, devices=devices, presets=presets, tasks=tasks, root=root, ids=ids)

    def model(self, model_id: str) -> Model | None:
        """Return the model with this id."""
        found = self.ids.get((NameKind.MODEL, model_id))
        return found if isinstance(found, Model) else None

    def device(self, device_id: str) -> Device | None:
        """Return the device with this id."""
        found = self.ids.get((NameKind.DEVICE, device_id))
        return found if isinstance(found, Device) else None

    def preset(self, preset_id: str) -> Preset | None:
        """Return the preset with this id."""
        found = self.ids.get((NameKind.PRESET, preset_id))
        return found if isinstance(found, Preset) else None

    def find(self, kind: NameKind, name: str) -> str | None:
        """Return the id of the one thing of `kind` called `name`, None when there is none or more than one."""
        folded = fold(name)
        values = [
            match.values
            for match in self.matches(folded, 0)
            if match.end == len(folded) and match.kind is kind
        ]
        return values[0][0] if values and len(values[0]) == 1 else None

    def matches(self, text: str, start: int) -> list[Match]:
        """Return the names that begin at `start` of a normalised `text`, longest first, then by kind."""
        found: list[Match] = []
        node, position = self.root, start
        while (run := RUN.match(text, position)) is not None:
            child = node.children.get(run.group())
            if child is None:
                break
            node = child
            found += _matches_at(node.names, text, start, run.end())
            gap = _GAP.match(text, run.end())
            position = gap.end() if gap else run.end()
        found.sort(key=lambda match: (-match.end, match.plural, match.kind))
        return found

    def spellings(self, kind: NameKind | None = None) -> Iterator[str]:
        """Yield every name, or every one of `kind`, in lower case, for suggestions."""
        stack = [self.root]
        while stack:
            node = stack.pop()
            for name in node.names:
                if kind is None or name.kind is kind:
                    yield fold(name.text)
            stack += node.children.values()


def _matches_at(names: list[Name], text: str, start: int, end: int) -> Iterator[Match]:
    """Yield one match per kind of the names whose runs end at `end`.

    A name that is spelled exactly so wins ("MBPP+" over "MBPP"), then the best rank.
    """
    if not _EDGE.match(text, end):
        plural = _PLURAL.match(text, end)
        devices = _best([name for name in names if name.kind is NameKind.DEVICE])
        if plural and devices:
            yield Match(end=plural.end(), kind=NameKind.DEVICE, values=devices, plural=True)
        return
    spelled = [name for name in names if text.startswith(fold(name.text), start)]
    for kind in sorted({name.kind for name in names}):
        exact = [name for name in spelled if name.kind is kind]
        longest = max((len(fold(name.text)) for name in exact), default=end - start)
        chosen = [name for name in exact if len(fold(name.text)) == longest]
        values = _best(chosen or [name for name in names if name.kind is kind])
        yield Match(end=max(end, start + longest), kind=kind, values=values)


def _best(names: list[Name]) -> tuple[str, ...]:
    """Return the things that the names of the best rank among `names` stand for."""
    rank = min((name.rank for name in names), default=None)
    return tuple(dict.fromkeys(name.value for name in names if name.rank is rank))


def _insert(root: _Node, name: Name) -> None:
    node = root
    runs = name_runs(name.text)
    for run in runs:
        node = node.children.setdefault(run, _Node())
    if runs:
        node.names.append(name)


def _names(
    models: tuple[Model, ...],
    devices: tuple[Device, ...],
    presets: tuple[Preset, ...],
    tasks: tuple[str, ...],
) -> Iterator[Name]:
    for model in models:
        yield Name(NameKind.MODEL, model.id, NameRank.ID, model.id)
        yield Name(NameKind.MODEL, model.id, NameRank.NAME, model.name)
        for alias in model.names():
            yield Name(NameKind.MODEL, model.id, NameRank.ALIAS, alias)
    for device in devices:
        yield Name(NameKind.DEVICE, device.id, NameRank.ID, device.id)
        yield Name(NameKind.DEVICE, device.id, NameRank.NAME, device.name)
        for alias in device.names():
            yield Name(NameKind.DEVICE, device.id, NameRank.ALIAS, alias)
            for short in _shortened(alias, device.vendor):
                yield Name(NameKind.DEVICE, device.id, NameRank.SHORT, short)
    for preset in presets:
        yield Name(NameKind.PRESET, preset.id, NameRank.ID, preset.id)
        yield Name(NameKind.PRESET, preset.id, NameRank.NAME, preset.name)
        for alias in preset.aliases:
            yield Name(NameKind.PRESET, preset.id, NameRank.ALIAS, alias)
    yield from _family_names(dict.fromkeys(model.family for model in models))
    for task in tasks:
        yield Name(NameKind.TASK, fold(task), NameRank.ID, task)


def _shortened(name: str, vendor: str) -> Iterator[str]:
    """Yield the lower-case `name` without what stands in its bracket, and without the vendor's first word.

    A number is no name: "AmpereOne" is not called "one".
    """
    before_bracket = name.partition("(")[0].strip()
    for base in dict.fromkeys((name, before_bracket)):
        short = base.removeprefix(f"{vendor.partition(' ')[0].lower()} ")
        yield from (text for text in (base, short) if text and text != name and text not in COUNTS)


def _family_names(families: Iterable[str]) -> Iterator[Name]:
    """Yield each family and the beginnings people call several by: "Llama" and "Llama-3" for "Llama-3.1"."""
    whole = {name_runs(family): family for family in families}
    for family in whole.values():
        yield Name(NameKind.FAMILY, family, NameRank.ID, family)
    beginnings: dict[tuple[str, ...], str] = {}
    for family in whole.values():
        folded = fold(family)
        if len(folded) != len(family):  # a compatibility character: slices would not fit
            continue
        for run in RUN.finditer(folded):
            word = run.group()
            text = family[: run.end()]
            if word.isalpha() and len(word) < 3:
                continue
            beginnings.setdefault(name_runs(text), text)
            if "." in word:
                major = family[: run.start()] + word.partition(".")[0]
                beginnings.setdefault(name_runs(major), major)
    for runs, text in beginnings.items():
        if runs not in whole:
            yield Name(NameKind.FAMILY, text, NameRank.NAME, text)
