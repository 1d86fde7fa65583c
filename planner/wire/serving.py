"""What the Hugging Face endpoint needs beyond the other use cases: what is held, and the log of what was handed out.

Only a server answers these; they are no part of `Service`, which a client speaks too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from planner.domain.lifecycle import VariantState
from planner.domain.model import Model
from planner.domain.variant import Variant
from planner.wire.identity import Authenticating
from planner.wire.rows import DownloadRow
from planner.wire.service import Service


class Holdings(msgspec.Struct, frozen=True, kw_only=True):
    """Models by id, and the variants whose files are held, at one revision of the registry.

    `states` are those of variants that are not active, by variant; files of some may be held and not be handed out.
    """

    models: Mapping[str, Model]
    variants: tuple[Variant, ...]
    revision: int
    states: Mapping[str, VariantState] = {}


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Who loads what: network address, user agent, repository and the revision as it was asked for, and whose token it was."""

    client: str
    user_agent: str
    repository: str
    revision: str
    principal: str | None = None


class Serving(Service, Authenticating, Protocol):
    """The use cases of a server that hands out files to stock clients."""

    def holdings(self) -> Holdings:
        """Return what is held now."""
        ...

    def promised(self, load: Load) -> DownloadRow | None:
        """Return what a plan has decided for this load a short while ago, which it is to go on with."""
        ...

    def record_download(self, load: Load, *, variant_id: str, plan_id: str | None = None) -> DownloadRow:
        """Log that a variant is handed out. A load that goes on is one row, whatever revision its requests name."""
        ...

    def download_counts(self) -> Mapping[str, int]:
        """Return how many loads each repository has had."""
        ...
