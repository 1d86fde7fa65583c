"""Words that make another device of a device's name: "4090 laptop" is not the 4090, nor is "m3 pro" the M3.

A name of the catalogue is read as far as it goes, so such a word beside it says that the device meant is not there. It
is refused and never skipped, since the answer would be about hardware that nobody asked for.
"""

from __future__ import annotations

import re
from typing import Final

from planner.choose.language.text import Source
from planner.choose.language.vocabulary import NameKind, Vocabulary
from planner.domain.device import Device, DeviceKind
from planner.errors import InvalidQuery

_QUALIFIER: Final = re.compile(
    r"[ -]?(?:(?:max-q|pro|ultra|ti|supers?)(?![a-z0-9])"
    # "4090 max 1% loss" bounds the loss; memory is no bound, so "m3 max 64gb" names a chip
    r"|max(?![a-z0-9])(?! ?(?:[<≤=:]|[0-9.,]+(?! ?(?:gi?g?s?b?|tb)(?![a-z0-9])|[0-9.,])"
    r"|(?:(?:relative|absolute|accuracy|quality|mmlu|gsm8k|p[0-9]{2}|mean|average|(?:time to )?first[ -]token|end[ -]to[ -]end"
    r"|per[ -]token) ){0,3}(?:loss|drop|degradation|latency|ttft|tpot|itl|e2e|time|first|context|concurrency|batch|throughput"
    r"|oom|risk|disk|file|download|input|output)(?![a-z0-9]))))"
)
_PORTABLE: Final = re.compile(r"[ -]?(?:(?:laptops?|notebooks?|mobile)(?![a-z0-9])|笔记本)")
_IS_PORTABLE: Final = re.compile(r"laptop|notebook|笔记本(?:电脑)?")


def is_portable(word: str) -> bool:
    """Return whether a skipped word says that the machine is a laptop."""
    return _IS_PORTABLE.fullmatch(word) is not None


def refuse_qualified(source: Source, start: int, end: int, device_id: str, vocabulary: Vocabulary) -> None:
    """Raise InvalidQuery when a word after the device's name, from `start` to `end`, makes it another device."""
    device = vocabulary.device(device_id)
    match = _QUALIFIER.match(source.text, end)
    if match is None and _is_card(device):
        match = _PORTABLE.match(source.text, end)
        if match is not None and _starts_preset(source.text, match, vocabulary):
            match = None
    if match is not None:
        word = match.group().strip(" -")
        raise _no_such_device(source, (start, match.end()), device_id, vocabulary, word)


def refuse_portable(
    source: Source,
    device_at: tuple[int, int],
    device_id: str,
    word_at: tuple[int, int],
    vocabulary: Vocabulary,
) -> None:
    """Raise InvalidQuery when a card is named in a query that speaks of a laptop: its chip is another one."""
    if _is_card(vocabulary.device(device_id)):
        place = min(device_at[0], word_at[0]), max(device_at[1], word_at[1])
        raise _no_such_device(source, place, device_id, vocabulary)


def _starts_preset(text: str, word: re.Match[str], vocabulary: Vocabulary) -> bool:
    """Return whether the word only begins the name of a preset: "4090 mobile translation"."""
    start = word.start() + (text[word.start()] in " -")
    return any(
        name.kind is NameKind.PRESET and name.end > word.end() for name in vocabulary.matches(text, start)
    )


def _is_card(device: Device | None) -> bool:
    return device is not None and device.kind is DeviceKind.GPU


def _no_such_device(
    source: Source, place: tuple[int, int], device_id: str, vocabulary: Vocabulary, word: str = "laptop"
) -> InvalidQuery:
    """Return the error that names the devices of the same series, the one with `word` in its name first."""
    series = next((part for part in device_id.split("-") if any(map(str.isdigit, part))), device_id)
    related = sorted(device.id for device in vocabulary.devices if series in device.id.split("-"))
    nearest = next((other for other in related if word in other.split("-")), device_id)
    return source.error(
        f"there is no device `{source.original_slice(*place)}`; the nearest is `{nearest}`, which is another one",
        *place,
        expected=tuple(f"`{other}`" for other in dict.fromkeys((nearest, device_id, *related)))[:8],
        suggestion=nearest,
    )
