"""What is handed out to stock clients: the variants that are held, and the log of loads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import msgspec

from planner.domain.lifecycle import LifecycleState
from planner.domain.listing import Page
from planner.registry import downloads, plans, variants
from planner.registry.transaction import Transaction
from planner.wire.page import DEFAULT_LIMIT
from planner.wire.rows import DownloadRow
from planner.wire.serving import Holdings, Load
from planner.workspace.identifiers import new_id
from planner.workspace.opened import Opened

PAUSE: Final = timedelta(minutes=10)
"""A load that asks for nothing this long has ended: what follows is another one, planned anew."""
LONGEST_PROMISE: Final = timedelta(hours=1)
"""A plan's choice is not kept longer than this, so that a client that keeps asking follows the evidence."""
NOTED: Final = timedelta(minutes=1)
"""How old the stored time of a load that goes on may get before it is written again."""


class Serving(Opened):
    """Implements `planner.wire.serving.Serving`, and the listing of downloads of `planner.wire.service.Browsing`."""

    _held: Holdings | None = None

    def holdings(self) -> Holdings:
        """Return what is held now; the same object as long as the registry has not changed."""
        index = self.snapshots.current()
        held = self._held
        if held is None or held.revision != index.revision:
            fetchable = tuple(variant for variant in index.records if variant.is_fetchable)
            held = Holdings(
                models=index.models,
                variants=fetchable,
                revision=index.revision,
                states=index.standing.by_variant,
            )
            self._held = held
        return held

    def promised(self, load: Load) -> DownloadRow | None:
        """Return what a plan decided for this load, while it goes on and at most for an hour.

        Whatever program asks: a library and the one that uses it ask for parts of one load under different names.
        """
        now = self.now()
        with self.registry.read() as tx:
            found = downloads.latest(
                tx,
                client=load.client,
                repository=load.repository,
                revision=load.revision,
                since=now - PAUSE,
            )
            if found is None or found.plan_id is None:
                return None
            decided = plans.get(tx, found.plan_id).as_of
        return found if now - decided <= LONGEST_PROMISE else None

    def record_download(self, load: Load, *, variant_id: str, plan_id: str | None = None) -> DownloadRow:
        """Log that a variant is handed out, or that a load goes on. Raises InvalidInput.

        Files that another program at the same address fetches by commit, of a variant that a plan chose for that address, are
        part of what the plan decided.
        """
        now = self.now()
        with self.registry.write() as tx:
            going_on = self._going_on(tx, load, variant_id, program=downloads.program_of(load.user_agent))
            if going_on is not None and plan_id in {None, going_on.plan_id}:
                if now - going_on.last_at >= NOTED:
                    downloads.touch(tx, going_on.id, now=now)
                    going_on = msgspec.structs.replace(going_on, last_at=now)
                return going_on
            revision = load.revision
            decided = self._going_on(tx, load, variant_id) if plan_id is None else None
            if decided is not None and decided.plan_id is not None:
                revision, plan_id = decided.revision, decided.plan_id
            row = DownloadRow(
                id=new_id(),
                repository=load.repository,
                revision=revision,
                variant_id=variant_id,
                plan_id=plan_id,
                client=load.client,
                user_agent=downloads.agent_text(load.user_agent),
                principal=load.principal,
                started_at=now,
                last_at=now,
            )
            downloads.record(tx, row)
        return row

    def _going_on(
        self, tx: Transaction, load: Load, variant_id: str, *, program: str | None = None
    ) -> DownloadRow | None:
        return downloads.latest(
            tx,
            client=load.client,
            program=program,
            repository=load.repository,
            variant_id=variant_id,
            since=self.now() - PAUSE,
        )

    def download_counts(self) -> Mapping[str, int]:
        """Return how many loads each repository has had."""
        with self.registry.read() as tx:
            return downloads.counts(tx)

    def downloads(
        self,
        *,
        variant: str | None = None,
        state: LifecycleState | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[DownloadRow]:
        """Return loads through the Hugging Face endpoint, newest first."""
        with self.registry.read() as tx:
            variant_id = None if variant is None else variants.get(tx, variant).id
            return downloads.page(tx, variant_id=variant_id, state=state, limit=limit, cursor=cursor)
