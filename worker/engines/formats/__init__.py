"""Formats: how a folder of model files says it must be loaded, and one module for each way that is not transformers' own.

`config.json` names the way in `quantization_config.quant_method`; a module here answers with the further arguments that
`from_pretrained` needs. A method without an entry is one that transformers loads alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

FORMATS: Final[Mapping[str, str]] = {
    "compressed-tensors": "worker.engines.formats.compressed_tensors",
    "bitsandbytes": "worker.engines.formats.bitsandbytes",
    "gptq": "worker.engines.formats.gptq",
    "awq": "worker.engines.formats.gptq",
    "auto-round": "worker.engines.formats.auto_round",
}
"""Module of each format by `quant_method`; it is imported when a folder in that format is loaded."""


class Format(Protocol):
    """What a module named in `FORMATS` offers."""

    def load_options(self, directory: Path, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments for `from_pretrained`.

        Raises InvalidFile for a declaration that cannot be followed, JobFailed when the machine lacks what it needs.
        """
        ...


def quant_method(config: Mapping[str, Any]) -> str | None:
    """Return the quantization method that `config.json` declares, None when it declares none."""
    declared = config.get("quantization_config")
    method = declared.get("quant_method") if isinstance(declared, dict) else None
    return method if isinstance(method, str) else None


def load_options(directory: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `from_pretrained` needs in addition for the folder; raises as its format's module does."""
    method = quant_method(config)
    if method is None or method not in FORMATS:
        return {}
    module: Any = import_module(FORMATS[method])
    options: dict[str, Any] = module.load_options(directory, config)
    return options
