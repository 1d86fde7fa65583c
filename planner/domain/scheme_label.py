"""Labels against tensors: what a name or a claim says of the precision must agree with what the files hold. Pure."""

from __future__ import annotations

import re
from typing import Final

from planner.domain.scheme import NumberFormat, Scheme
from planner.errors import InvalidInput

_TOKEN: Final = re.compile(
    r"(?<![a-z0-9])(?:(?P<format>fp32|fp16|bf16|fp8|nf4|nvfp4|mxfp[468])"
    r"|(?:int(?P<int>[1-8])|(?P<bit>[1-8])[ -]?bit)"
    r"|w(?P<weight>\d{1,2})a(?P<activation>\d{1,2})"
    r"|(?P<gguf>i?q[1-8]_[01ks](?:_[sml]|xs|xxs)?))(?![a-z0-9])"
)

_OF_CACHE: Final = re.compile(r"(?<![a-z0-9])kv[-_ ]?\Z")
"""What stands before a precision that is the KV cache's and not the weights': "kv-int8"."""


def check_claim(claim: str, scheme: Scheme) -> None:
    """Raise InvalidInput unless `claim` is one of the words that the scheme found in the files answers to."""
    words = scheme.terms()
    if claim.strip().lower() not in words:
        raise InvalidInput(
            "scheme",
            f"`{claim[:80]}` contradicts the tensors, which hold {scheme.name}",
            allowed=", ".join(sorted(words)),
        )


def check_name(name: str, scheme: Scheme) -> None:
    """Raise InvalidInput when a word in `name` names another precision than the tensors have.

    A scheme that mixes formats on purpose is not held against any single word.
    """
    if scheme.mixed:
        return
    text = name.lower()
    for match in _TOKEN.finditer(text):
        of_cache = _OF_CACHE.search(text, 0, match.start()) is not None
        if not (_agrees_with_cache(match, scheme) if of_cache else _agrees(match, scheme)):
            raise InvalidInput(
                "name",
                f"`{match.group()}` contradicts the tensors, which hold {scheme.name}",
                allowed="a name without it, or with the scheme the files have",
            )


def _agrees_with_cache(match: re.Match[str], scheme: Scheme) -> bool:
    stated = match["format"] or match["gguf"] or f"int{match['int'] or match['bit'] or 0}"
    return scheme.kv is not None and stated == scheme.kv.format.value


def _agrees(match: re.Match[str], scheme: Scheme) -> bool:
    if (number_format := match["format"]) is not None:
        return number_format in {scheme.weight.format.value, scheme.name} or (
            number_format == "fp8" and scheme.weight.format is NumberFormat.MXFP8
        )
    if (bits := match["int"] or match["bit"]) is not None:
        return int(bits) == scheme.nominal_bits
    if match["weight"] is not None:
        activation = scheme.activation.format.nominal_bits if scheme.activation else 16
        return int(match["weight"]) == scheme.nominal_bits and int(match["activation"]) == activation
    gguf: str = match["gguf"]
    stored = scheme.weight.format.value
    return gguf in {scheme.name, stored} or (scheme.label is None and gguf.startswith(stored))
