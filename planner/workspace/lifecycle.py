"""The states of variants: set, read and listed."""

from __future__ import annotations

from planner.domain.lifecycle import LifecycleState, StateHistory, VariantState
from planner.domain.listing import Page
from planner.errors import InvalidInput
from planner.registry import lifecycle, variants
from planner.wire import acting
from planner.wire.lifecycle import SetState
from planner.wire.page import DEFAULT_LIMIT
from planner.workspace.attribution import check_confines
from planner.workspace.opened import Opened


class Lifecycle(Opened):
    """Implements `planner.wire.lifecycle.Lifecycle`."""

    def set_state(self, variant: str, change: SetState) -> VariantState:
        """Put a variant in a state; names of variants are resolved to ids first."""
        if change.state is LifecycleState.DELETED:
            raise InvalidInput(
                "state", "`deleted` is not set by hand", allowed="a retention policy deletes variants"
            )
        with self.registry.write() as tx:
            tx.lock_revision()
            target = variants.get(tx, variant)
            check_confines(target)
            before = lifecycle.get(tx, target.id).state
            if before is LifecycleState.DELETED and change.state is LifecycleState.ACTIVE:
                self._check_files_are_back(target.id, [artifact.sha256 for artifact in target.artifacts])
            replacement = change.replacement
            return lifecycle.put(
                tx,
                target.id,
                change.state,
                reason=change.reason,
                replacement_id=None if replacement is None else variants.get(tx, replacement).id,
                actor=acting.actor(change.actor),
                expected=change.expected,
                now=self.now(),
            )

    def _check_files_are_back(self, variant_id: str, files: list[str]) -> None:
        missing = [sha256 for sha256 in files if self.store.size(sha256) is None]
        if missing:
            raise InvalidInput(
                "state",
                f"{len(missing)} files of `{variant_id}` are gone",
                allowed="register the files again, which reinstates it",
                missing=missing,
            )

    def state(self, variant: str) -> StateHistory:
        """Return the state of a variant, and every one before it."""
        with self.registry.read() as tx:
            return lifecycle.history(tx, variants.get(tx, variant).id)

    def states(
        self,
        *,
        state: LifecycleState | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[VariantState]:
        """Return the states that somebody has set, by variant."""
        with self.registry.read() as tx:
            return lifecycle.page(tx, state=state, limit=limit, cursor=cursor)
