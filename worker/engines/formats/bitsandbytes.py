"""Files of bitsandbytes: transformers reads them, with the library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.engines.libraries import require_library


def load_options(directory: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the CPU as the place, since transformers would else take the first GPU; a device asked for overrides it.

    Raises JobFailed(kernel_unsupported) without bitsandbytes.
    """
    del directory, config
    require_library("bitsandbytes")
    return {"device_map": {"": "cpu"}}
