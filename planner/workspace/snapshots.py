"""Indexes over the registry, kept by revision: questions share one until the registry changes.

The registry's revision decides, so every process of a server notices what any of them wrote. One thread rebuilds while
the others wait: an answer never misses what was written before the question.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from planner.choose.index import Index
from planner.domain.scenario import Preset
from planner.registry import Registry, snapshot

_KEPT: Final = 4
"""How many past revisions are kept for replays: few, since each holds every variant."""


class Snapshots:
    """The current index and a few past ones. Thread-safe."""

    def __init__(self, registry: Registry, presets: tuple[Preset, ...]) -> None:
        self._registry = registry
        self._presets = presets
        self._current: Index | None = None
        self._past: OrderedDict[int, Index] = OrderedDict()
        self._lock = threading.Lock()

    def current(self) -> Index:
        """Return the index at the registry's revision."""
        index = self._current
        revision = self._registry.revision()
        if index is not None and index.revision >= revision:
            return index
        with self._lock:
            index = self._current
            if index is None or index.revision < revision:
                index = self._load(None)
                self._current = index
            return index

    def as_of(self, revision: int) -> Index:
        """Return the index as it was at `revision`."""
        current = self._current
        if current is not None and current.revision == revision:
            return current
        with self._lock:
            index = self._past.pop(revision, None) or self._load(revision)
            self._past[revision] = index
            while len(self._past) > _KEPT:
                self._past.popitem(last=False)
            return index

    def _load(self, revision: int | None) -> Index:
        with self._registry.read() as tx:
            return snapshot.load(tx, as_of=revision, presets=self._presets)
