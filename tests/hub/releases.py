"""Releases of huggingface_hub that are tried, each in an environment of its own under PLANNER_CLIENT_MATRIX."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

RELEASES = ("0.20.3", "0.23.5", "0.30.2", "0.36.2", "1.0.1", "1.6.0", "1.20.0", "1.33.0", "newest")


def environment_of_release(release: str) -> str:
    """Return the Python of an environment with this release, made when it is not there; skips without a folder."""
    folder = os.environ.get("PLANNER_CLIENT_MATRIX")
    if not folder:
        pytest.skip("PLANNER_CLIENT_MATRIX names no folder for the environments of other releases")
    return str(made(Path(folder), release))


def made(folder: Path, release: str) -> Path:
    """Return the Python of the release's environment in `folder`, which is made when it is not there."""
    home = folder / release
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        wanted = "huggingface_hub" if release == "newest" else f"huggingface_hub=={release}"
        subprocess.run([python, "-m", "pip", "install", "-q", wanted], check=True)
    return python


if __name__ == "__main__":  # beforehand, since tests that run beside each other would make them twice
    for each in RELEASES:
        print(made(Path(sys.argv[1]), each), flush=True)
