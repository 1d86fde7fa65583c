"""`npm ci` works from the lock file anywhere: every platform's packages are in it, and no registry's address is."""

from __future__ import annotations

import json
from typing import Any

from tests.web.conftest import WEB

PACKAGES: dict[str, dict[str, Any]] = json.loads((WEB / "package-lock.json").read_text())["packages"]


def _is_locked(name: str, dependant: str) -> bool:
    """Whether `name` is found from the folder of `dependant` as Node finds it: there, or in a folder above."""
    folders = dependant.split("node_modules/")
    return any(
        "node_modules/".join([*folders[:depth], name]) in PACKAGES for depth in range(len(folders), 0, -1)
    )


def test_every_dependency_is_locked() -> None:
    absent = {
        name
        for path, package in PACKAGES.items()
        for kind in ("dependencies", "optionalDependencies")
        for name in package.get(kind, {})
        if not _is_locked(name, f"{path}/" if path else "")
    }
    assert not absent, "npm leaves out what its registry does not have: pin a version that is there whole"


def test_contents_are_pinned_and_no_registry_is_named() -> None:
    for path, package in PACKAGES.items():
        assert "resolved" not in package, path
        assert not path or package["integrity"].startswith("sha512-"), path
