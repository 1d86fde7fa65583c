"""Whether a variant may be handed out, and what those who fetch it are told: the one place the protocol asks."""

from __future__ import annotations

import msgspec

from planner.domain.variant import Variant


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said of a variant. Clients print a refusal as it is, and each notice once per topic."""

    refused: str | None = None
    """Why its files are not handed out; None when they are."""
    notices: tuple[tuple[str, str], ...] = ()
    """Pairs of topic and message."""


def standing(variant: Variant) -> Standing:
    """Return the standing of `variant`, by what the registry knows of it."""
    if not variant.is_fetchable:
        return Standing(refused=f"{variant.model_id}/{variant.name} is only known from a publication")
    needs = variant.provenance.needs
    if needs:
        return Standing(notices=(("needs", f"running this build needs {', '.join(needs)}"),))
    return Standing()
