"""The lints: what public result files were found to get wrong, each a named check with a code.

A check takes what was read, says what it found, and returns what may be kept.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

TITLES: Final = MappingProxyType(
    {
        "L1": "scores equal to another run's, or too good for their bits: quantization probably not applied",
        "L2": "the baseline itself is at the floor or at chance: no information",
        "L3": "the file's model size contradicts the variant's weights",
        "L3b": "which variant it is stands only in the file's name",
        "L3c": "every choice task at chance while the baseline is not: a broken artifact",
        "L4": "per-token times accumulated over iterations",
        "L5": "a unit that is not the one its name says",
        "L6": "device memory in use that is not the process's",
        "L7": "the process's device memory was not visible",
        "L8": "may have hit a warm prefix cache",
        "L9": "a latency of exactly zero is a missing one",
        "L10": "tokens arrived in coalesced chunks: gaps between chunks are not gaps between tokens",
        "L11": "the figure is defined in another way than its name says here",
        "L12": "unstable, or too few repetitions",
        "L13": "a p99 of fewer than 100 samples",
        "L14": "variant and baseline were not evaluated alike",
        "L15": "a subset of the task",
        "L16": "the variant writes less than 90 % of what the baseline writes",
        "L17": "commit fields that hold the tool's own commit",
        "L18": "random weights",
        "L19": "the engine is not named",
        "L20": "server counters that include other traffic",
        "L21": "reported and retokenised output tokens differ",
        "L22": "percentiles of the requests that did not fail",
    }
)
"""What each code is about."""
