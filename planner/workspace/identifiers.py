"""Identifiers of events, as the registry makes them."""

from __future__ import annotations

from planner.registry.identifiers import new_id

__all__ = ["new_id"]
