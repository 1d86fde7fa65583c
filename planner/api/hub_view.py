"""What a process remembers between requests of the Hugging Face protocol: repositories, and who is loading what."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from typing import Final, TypeVar

import msgspec

from planner.api.hub_repositories import Repositories
from planner.api.withholding import Withholding
from planner.errors import PlannerError
from planner.wire.serving import Load, Serving

K = TypeVar("K")
V = TypeVar("V")

log = logging.getLogger("planner.api.hub")

NOTED_SECONDS: Final = 60.0
"""Files of a load that follow within this time are not logged again."""
MAX_NOTED: Final = 10_000


class HubView:
    """The repositories of the registry's present revision, and which loads were logged a moment ago."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._repositories: Repositories | None = None
        self._noted: OrderedDict[tuple[str, str, str, str], float] = OrderedDict()
        self._asked: OrderedDict[tuple[str, str, str, str], str] = OrderedDict()
        self.withholding = Withholding()
        """Which files are not handed out, by whatever name they are asked for."""

    def repositories(self, service: Serving) -> Repositories:
        """Return the repositories, arranged anew when the registry has changed."""
        held = service.holdings()
        with self._lock:
            if self._repositories is None or self._repositories.revision != held.revision:
                self._repositories = Repositories(held)
            return self._repositories

    def remember(self, load: Load, variant_id: str) -> None:
        """Keep the name by which a client found a variant: it fetches the files by commit."""
        with self._lock:
            _keep(self._asked, _key(load, variant_id), load.revision)

    def note(self, service: Serving, load: Load, variant_id: str) -> None:
        """Log that files of a variant are handed out; a load's many files are noted once a minute."""
        key, now = _key(load, variant_id), time.monotonic()
        with self._lock:
            if now - self._noted.get(key, -NOTED_SECONDS) < NOTED_SECONDS:
                return
            _keep(self._noted, key, now)
            asked = self._asked.get(key, load.revision)
        try:
            service.record_download(msgspec.structs.replace(load, revision=asked), variant_id=variant_id)
        except PlannerError as error:
            log.warning("a download by %s could not be logged: %s", load.client, error.message)


def _key(load: Load, variant_id: str) -> tuple[str, str, str, str]:
    return load.client, load.user_agent, load.repository, variant_id


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > MAX_NOTED:
        kept.popitem(last=False)
