"""What a recipe says about smoothing in its settings and its name; without torch, since listing recipes must be quick."""

from __future__ import annotations

from planner.errors import InvalidInput


def check_alpha(alpha: float | None) -> None:
    """Raise InvalidInput when SmoothQuant's alpha is out of range."""
    if alpha is not None and not 0.0 <= alpha <= 1.0:
        raise InvalidInput(
            "recipe.smoothing", f"{alpha:g} is out of range", allowed="0 to 1, or null for no smoothing"
        )


def smoothing_suffix(alpha: float | None, *, default: float | None = None) -> str:
    """Return what a variant's name says about smoothing: nothing where it is the recipe's default."""
    if alpha == default:
        return ""
    return "-unsmoothed" if alpha is None else f"-smoothed-{alpha:g}"
