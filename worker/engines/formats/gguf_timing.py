"""Why a GGUF file is not timed by the engine that evaluates it."""

from __future__ import annotations

from pathlib import Path

from planner.errors import InvalidInput


def refuse_timing(directory: Path) -> None:
    """Raise InvalidInput when the folder holds a GGUF file: what would be timed here is not what runs such files."""
    if any(directory.glob("*.gguf")):
        raise InvalidInput(
            "variant",
            "is a GGUF file, which transformers widens to 32 bits: its speed and memory here are not llama.cpp's",
            allowed="measuring a llama.cpp server that has loaded it, with --endpoint URL",
        )
