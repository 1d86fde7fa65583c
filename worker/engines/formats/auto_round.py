"""Files of AutoRound's own export: transformers reads them, with the library. Our recipe does not write these."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.engines.libraries import require_library


def load_options(directory: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return no further arguments. Raises JobFailed(kernel_unsupported) without AutoRound."""
    del directory, config
    require_library("auto-round")
    return {}
