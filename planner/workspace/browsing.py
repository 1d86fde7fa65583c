"""Lists and single things, as the registry holds them."""

from __future__ import annotations

import os
import shutil

import planner
from planner.domain.alias import Alias
from planner.domain.device import Device
from planner.domain.evaluation import Evaluation
from planner.domain.listing import Page, VariantFilter, VariantRow, VariantSort
from planner.domain.model import Model
from planner.domain.profile import Profile
from planner.domain.scenario import Preset
from planner.domain.units import format_bytes
from planner.domain.variant import Variant
from planner.errors import PlannerError
from planner.registry import aliases, devices, evaluations, models, profiles, variants
from planner.registry.transaction import ReadTransaction
from planner.wire.page import DEFAULT_LIMIT, MAX_LIMIT
from planner.wire.replies import Health, Part
from planner.wire.rows import AliasHistory
from planner.workspace.opened import Opened


class Browsing(Opened):
    """Implements `planner.wire.service.Browsing`."""

    def models(
        self,
        *,
        search: str | None = None,
        family: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Model]:
        """Return base models by id."""
        with self.registry.read() as tx:
            return models.page(tx, search=search, family=family, limit=limit, cursor=cursor)

    def model(self, name: str) -> Model:
        """Return a base model."""
        with self.registry.read() as tx:
            return models.get(tx, name)

    def variants(
        self,
        wanted: VariantFilter | None = None,
        *,
        sort: VariantSort = VariantSort.NAME,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[VariantRow]:
        """Return variants."""
        with self.registry.read() as tx:
            return variants.page(tx, wanted or VariantFilter(), sort=sort, limit=limit, cursor=cursor)

    def variant(self, name: str) -> Variant:
        """Return a variant."""
        with self.registry.read() as tx:
            return variants.get(tx, name)

    def devices(
        self, *, search: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[Device]:
        """Return device types by id."""
        with self.registry.read() as tx:
            return devices.page(tx, search=search, limit=limit, cursor=cursor)

    def device(self, name: str) -> Device:
        """Return a device type."""
        with self.registry.read() as tx:
            return devices.get(tx, name)

    def presets(self) -> tuple[Preset, ...]:
        """Return the named scenarios."""
        return self._presets

    def profiles(
        self,
        *,
        variant: str | None = None,
        device: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Profile]:
        """Return speed and memory evidence, of a variant or on a device by any of its names."""
        with self.registry.read() as tx:
            return profiles.page(
                tx,
                variant_id=_variant_id(tx, variant),
                device_id=None if device is None else devices.get(tx, device).id,
                limit=limit,
                cursor=cursor,
            )

    def evaluations(
        self,
        *,
        variant: str | None = None,
        task: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Evaluation]:
        """Return accuracy evidence, of a variant by any of its names."""
        with self.registry.read() as tx:
            return evaluations.page(
                tx, variant_id=_variant_id(tx, variant), task=task, limit=limit, cursor=cursor
            )

    def aliases(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Alias]:
        """Return aliases by name."""
        with self.registry.read() as tx:
            return aliases.page(tx, limit=limit, cursor=cursor)

    def alias(self, name: str) -> AliasHistory:
        """Return an alias and its moves."""
        with self.registry.read() as tx:
            return AliasHistory(
                alias=aliases.get(tx, name), moves=aliases.history(tx, name, limit=MAX_LIMIT).items
            )

    def health(self) -> Health:
        """Return whether database and store work."""
        revision: int | None = None
        try:
            revision = self.registry.revision()
            database = Part(ok=True)
        except PlannerError as error:
            database = Part(ok=False, detail=error.message)
        store = self._store_health()
        return Health(
            ok=database.ok and store.ok,
            version=planner.__version__,
            database=database,
            store=store,
            revision=revision,
        )

    def _store_health(self) -> Part:
        folder = self.settings.blob_dir
        try:
            free = shutil.disk_usage(folder).free
        except OSError as error:
            return Part(ok=False, detail=f"the artifact folder cannot be read: {error.strerror}")
        if not os.access(folder, os.W_OK):
            return Part(ok=False, detail="the artifact folder cannot be written")
        return Part(ok=True, detail=f"{format_bytes(free, binary=False)} free")


def _variant_id(tx: ReadTransaction, name: str | None) -> str | None:
    return None if name is None else variants.get(tx, name).id
