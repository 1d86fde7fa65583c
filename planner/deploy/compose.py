"""A Compose file: one service that fetches the locked files, checking every hash, and one that serves them."""

from __future__ import annotations

from typing import Any, Final

from planner.deploy.containers import (
    LOCK_FOLDER,
    LOCK_NAME,
    MODELS,
    PROBE_SECONDS,
    STARTUP_SECONDS,
    Container,
)
from planner.deploy.deployment import DeployOptions
from planner.deploy.lock import Lock
from planner.deploy.lock_text import LockForm, write_lock
from planner.deploy.runtimes import HEALTH_PATH
from planner.errors import InvalidInput

_VENDOR_DRIVERS: Final = {"nvidia": "nvidia", "amd": "amd"}
"""Drivers of `deploy.resources.reservations.devices`, by vendor."""


def _literal(text: str) -> str:
    """Return `text` so that Compose does not take `$` for the start of a variable."""
    return text.replace("$", "$$")


def compose_file(lock: Lock, made: Container, options: DeployOptions) -> dict[str, Any]:
    """Return the Compose file as a document. The model listens on loopback only: it has no users."""
    server: dict[str, Any] = {
        "image": made.image,
        "entrypoint": [_literal(word) for word in made.command],
        "command": [],
        "ports": [f"127.0.0.1:{options.port}:{options.port}"],
        "ipc": "private",
        "shm_size": "8gb",
        "healthcheck": {
            "test": ["CMD-SHELL", _probe(options.port)],
            "interval": f"{PROBE_SECONDS}s",
            "timeout": "5s",
            "retries": 3,
            "start_period": f"{STARTUP_SECONDS}s",
        },
        "restart": "unless-stopped",
        "security_opt": ["no-new-privileges:true"],
        "labels": {"variant-planner.variant": lock.variant.id},
    }
    if made.devices:
        if lock.placement.partition is not None:
            raise InvalidInput(
                "target",
                "Compose cannot ask for a slice of a GPU by its profile",
                allowed="kubernetes, kserve",
            )
        driver = _VENDOR_DRIVERS.get(made.vendor)
        if driver is None:
            raise InvalidInput(
                "target", f"Compose has no driver for the GPUs of {made.vendor}", allowed="nvidia, amd"
            )
        reserved = {"driver": driver, "count": made.devices, "capabilities": ["gpu"]}
        server["deploy"] = {"resources": {"reservations": {"devices": [reserved]}}}
    if made.replicas > 1:
        raise InvalidInput(
            "replicas",
            f"{made.replicas} would share one port under Compose",
            allowed="1, or kubernetes, kserve",
        )
    document: dict[str, Any] = {"name": made.label, "services": {}}
    if made.fetch_image is not None:
        document["services"]["fetch"] = {
            "image": made.fetch_image,
            "entrypoint": [_literal(word) for word in made.fetch_command],
            "command": [],
            "user": "0:0",  # a new volume belongs to root
            "configs": [{"source": "lock", "target": f"{LOCK_FOLDER}/{LOCK_NAME}"}],
            "volumes": [f"models:{MODELS}"],
            "restart": "on-failure:5",
            "security_opt": ["no-new-privileges:true"],
        }
        server["volumes"] = [f"models:{MODELS}:ro"]
        server["depends_on"] = {"fetch": {"condition": "service_completed_successfully"}}
        document["configs"] = {"lock": {"content": _literal(write_lock(lock, LockForm.TOML))}}
        document["volumes"] = {"models": {}}
    elif made.mount is not None:
        mount = {"type": "bind", "source": _literal(made.mount), "target": _literal(made.mount)}
        server["volumes"] = [{**mount, "read_only": True}]
    document["services"]["model"] = server
    return document


def _probe(port: int) -> str:
    """Return a shell command that asks for health with what the image has: curl, else Python."""
    url = f"http://127.0.0.1:{port}{HEALTH_PATH}"
    python = f"import urllib.request as r; r.urlopen('{url}', timeout=4)"
    return f'if command -v curl >/dev/null; then curl -fsS -m 4 {url}; else python3 -c "{python}"; fi'
