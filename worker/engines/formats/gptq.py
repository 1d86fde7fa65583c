"""Files of GPTQModel and AutoAWQ: transformers reads them, with GPTQModel's kernels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.engines.libraries import require_library


def load_options(directory: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return no further arguments. Raises JobFailed(kernel_unsupported) without GPTQModel."""
    del directory, config
    require_library("gptqmodel")
    return {}
