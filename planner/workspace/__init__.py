"""The use cases: what the API and the command line do, in process, over registry, store and chooser.

with Workspace(settings) as workspace:
    plan = workspace.recommend(query="13B on 24GB, ≤1% loss")
"""

from __future__ import annotations

from planner.workspace.workspace import Workspace

__all__ = ["Workspace"]
