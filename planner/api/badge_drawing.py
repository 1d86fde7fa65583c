"""A badge: two words in a small SVG, as wide as its text. Pure.

Widths are those of Verdana at 11 px, as measured by its advance widths; every text also states its own length, so that
another font is squeezed or stretched to fit. Nothing is inline style, which the server's own policy forbids.
"""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape, quoteattr

LONGEST: Final = 120
"""Characters of a side; the rest is cut."""
_HEIGHT: Final = 20
_MARGIN: Final = 6
_NARROW: Final = frozenset("ijl.,:;'|!I ()[]-/·ft")
_WIDE: Final = frozenset("mwMW%@±−")
_WIDTHS: Final = {"narrow": 4.2, "normal": 6.9, "wide": 10.0, "full": 11.0}
"""Pixels of a character, each a little above the widest of its kind."""


def width(text: str) -> int:
    """Return the pixels that `text` takes at most."""
    total = 0.0
    for character in text:
        if ord(character) > 0x2E7F:
            total += _WIDTHS["full"]
        elif character in _NARROW:
            total += _WIDTHS["narrow"]
        else:
            total += _WIDTHS["wide" if character in _WIDE else "normal"]
    return round(total)


def draw(label: str, message: str, *, colour: str) -> str:
    """Return an SVG with `label` on grey and `message` on `colour`. Both may be any text."""
    label, message = _printable(label), _printable(message)
    left, right = width(label) + 2 * _MARGIN, width(message) + 2 * _MARGIN
    title = quoteattr(f"{label}: {message}")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{_HEIGHT}" role="img" aria-label={title}>',
        f"<title>{escape(f'{label}: {message}')}</title>",
        f'<rect width="{left}" height="{_HEIGHT}" fill="#444"/>',
        f'<rect x="{left}" width="{right}" height="{_HEIGHT}" fill="{colour}"/>',
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">',
        _text(label, _MARGIN),
        _text(message, left + _MARGIN),
        "</g></svg>",
    ]
    return "".join(parts)


def _text(text: str, x: int) -> str:
    return f'<text x="{x}" y="14" textLength="{max(width(text), 1)}">{escape(text)}</text>'


def _printable(text: str) -> str:
    shown = "".join(c if c.isprintable() else " " for c in text).strip()
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"
