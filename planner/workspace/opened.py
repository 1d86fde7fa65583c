"""What every group of use cases stands on: the opened registry and store, the indexes, and a clock."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Self

from planner.artifacts.local import LocalStore
from planner.catalogue import load_catalogue
from planner.domain.price import PriceList
from planner.registry import catalogue, devices, open_registry
from planner.settings import Settings
from planner.workspace.pricing import read_prices
from planner.workspace.snapshots import Snapshots


class Opened:
    """The parts of a workspace. Opening applies migrations and brings the built-in catalogue up to date."""

    def __init__(self, settings: Settings) -> None:
        built_in = load_catalogue()
        self.settings = settings
        self.store = LocalStore(settings.blob_dir)
        self.registry = open_registry(settings.database_url)
        try:
            with self.registry.read() as tx:
                current = catalogue.digest(tx) == built_in.digest
            if not current:
                with self.registry.write() as tx:
                    catalogue.sync(tx, built_in)
            self.prices = self._read_prices()
            self.snapshots = Snapshots(self.registry, built_in.presets)
        except BaseException:
            self.registry.close()
            raise
        self._presets = built_in.presets
        self.opened_at = self.now()

    def _read_prices(self) -> PriceList:
        if self.settings.prices is None:
            return PriceList()
        with self.registry.read() as tx:
            return read_prices(self.settings.prices, find_device=partial(devices.get, tx))

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return datetime.now(UTC)

    def close(self) -> None:
        """Close the registry's connections."""
        self.registry.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
