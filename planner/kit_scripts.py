"""Where the scripts for pipelines lie: `python -m planner.kit_scripts` prints the folder.

They are `planner/_kit` of an installed wheel, or `kit/scripts` of a checkout, as the migrations are.
"""

from __future__ import annotations

import sys
from pathlib import Path

import planner
from planner.errors import Unavailable


def scripts_folder() -> Path:
    """Return the folder with register.sh and gate.sh. Raises Unavailable when the installation is incomplete."""
    package = Path(planner.__file__).parent
    for folder in (package / "_kit", package.parent / "kit" / "scripts"):
        if (folder / "register.sh").is_file():
            return folder
    raise Unavailable(f"the installation at {package} holds no scripts; install variant-planner again")


if __name__ == "__main__":
    sys.stdout.write(f"{scripts_folder()}\n")
