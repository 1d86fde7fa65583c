"""Whether a variant may be handed out, and what those who fetch it are told: the one place the protocol asks."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from planner.domain.lifecycle import LifecycleState, VariantState
from planner.domain.variant import Variant


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said of a variant. Clients print a refusal as it is, and each notice once per topic."""

    refused: str | None = None
    """Why its files are not handed out; None when they are."""
    notices: tuple[tuple[str, str], ...] = ()
    """Pairs of topic and message."""


def standing(variant: Variant, states: Mapping[str, VariantState]) -> Standing:
    """Return the standing of `variant`, by what the registry knows of it and by `states`, of variants not active."""
    title = f"{variant.model_id}/{variant.name}"
    if not variant.is_fetchable:
        return Standing(refused=f"{title} is only known from a publication")
    notices: list[tuple[str, str]] = []
    state = states.get(variant.id)
    if state is not None and state.state is not LifecycleState.ACTIVE:
        words = f"{title} is {state.describe()}"
        if not state.state.is_handed_out:
            return Standing(refused=words)
        notices.append((state.state.value, words))
    needs = variant.provenance.needs
    if needs:
        notices.append(("needs", f"running this build needs {', '.join(needs)}"))
    return Standing(notices=tuple(notices))
