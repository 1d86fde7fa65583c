"""Workspace: the whole service in process, put together from its groups of use cases."""

from __future__ import annotations

from planner.workspace.aliasing import Aliasing
from planner.workspace.browsing import Browsing
from planner.workspace.by_reference import ByReference
from planner.workspace.deploying import Deploying
from planner.workspace.explaining import Explaining
from planner.workspace.gating import Gating
from planner.workspace.identity import Identity
from planner.workspace.importing import Importing
from planner.workspace.lifecycle import Lifecycle
from planner.workspace.retention import Retention
from planner.workspace.serving import Serving
from planner.workspace.webhooks import Webhooks
from planner.workspace.working import Working


class Workspace(
    Gating,
    ByReference,
    Deploying,
    Explaining,
    Browsing,
    Importing,
    Serving,
    Working,
    Lifecycle,
    Aliasing,
    Retention,
    Webhooks,
    Identity,
):
    """Implements `planner.wire.service.Service` and `planner.wire.serving.Serving` over a registry and a store on this machine.

    `Workspace(settings)` opens them: migrations are applied and the built-in catalogue is brought up to date. Thread-safe.
    """
