"""Kubernetes manifests: a ConfigMap with the lock, a Deployment that fetches and serves, and a Service.

The init container fetches exactly the files of the lock and checks every hash, so a pod that starts serves what was
planned. It holds no credentials, and no container may gain privileges.
"""

from __future__ import annotations

import math
from typing import Any, Final

from planner.deploy.containers import (
    LOCK_FOLDER,
    LOCK_NAME,
    MODELS,
    PLANNER_USER,
    PROBE_SECONDS,
    STARTUP_SECONDS,
    Container,
)
from planner.deploy.deployment import DeployOptions
from planner.deploy.lock import Lock
from planner.deploy.lock_text import LockForm, write_lock
from planner.deploy.runtimes import HEALTH_PATH
from planner.domain.units import MIB
from planner.errors import InvalidInput

MAX_CONFIG_BYTES: Final = 1024**2 - 4096
"""A ConfigMap holds at most 1 MiB (kubernetes.io, ConfigMaps)."""
_HEADROOM: Final = 1.1
"""Room beside the files: partial files of a fetch that is resumed, and the file system's own."""
_DROPPED: Final = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def manifests(
    lock: Lock, made: Container, options: DeployOptions, *, served_name: str
) -> tuple[dict[str, Any], ...]:
    """Return ConfigMap (when files are fetched), Deployment and Service."""
    labels = labels_of(made)
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(lock, made, options, served_name=served_name),
        "spec": {
            "replicas": made.replicas,
            "selector": {"matchLabels": labels},
            # the GPUs of a new pod are those of the old one where there are no spare ones
            "strategy": {"type": "Recreate"} if made.replicas == 1 else {"type": "RollingUpdate"},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations_of(lock, served_name)},
                "spec": pod(made, options, name="model"),
            },
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(lock, made, options, served_name=served_name),
        "spec": {
            "type": "ClusterIP",
            "selector": labels,
            "ports": [{"name": "http", "port": options.port, "targetPort": "http", "protocol": "TCP"}],
        },
    }
    return (*lock_config(lock, made, options, served_name=served_name), deployment, service)


def labels_of(made: Container) -> dict[str, str]:
    """Return the labels that pods are selected by."""
    return {"app.kubernetes.io/name": made.label, "app.kubernetes.io/component": "model-server"}


def annotations_of(lock: Lock, served_name: str) -> dict[str, str]:
    """Return what says which bytes a pod serves and which plan they come from."""
    return {
        "variant-planner/variant": lock.variant.id,
        "variant-planner/plan": lock.plan.plan_id,
        "variant-planner/served-model-name": served_name,
    }


def metadata(lock: Lock, made: Container, options: DeployOptions, *, served_name: str) -> dict[str, Any]:
    """Return name, namespace, labels and annotations."""
    found: dict[str, Any] = {
        "name": made.label,
        "labels": {**labels_of(made), "app.kubernetes.io/managed-by": "variant-planner"},
        "annotations": annotations_of(lock, served_name),
    }
    if options.namespace is not None:
        found["namespace"] = options.namespace
    return found


def lock_config(
    lock: Lock, made: Container, options: DeployOptions, *, served_name: str
) -> tuple[dict[str, Any], ...]:
    """Return the ConfigMap that holds the lock, none when no files are fetched. Raises InvalidInput above 1 MiB."""
    if made.fetch_image is None:
        return ()
    text = write_lock(lock, LockForm.TOML)
    if len(text.encode()) > MAX_CONFIG_BYTES:
        raise InvalidInput(
            "lock",
            f"its {len(lock.files):,} files do not fit into a ConfigMap",
            allowed="at most 1 MiB of lock",
        )
    named = metadata(lock, made, options, served_name=served_name)
    return (
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {**named, "name": f"{made.label}-lock"},
            "immutable": False,
            "data": {LOCK_NAME: text},
        },
    )


def pod(made: Container, options: DeployOptions, *, name: str) -> dict[str, Any]:
    """Return the pod's spec, its server being the container called `name`."""
    volumes: list[dict[str, Any]] = [{"name": "shared-memory", "emptyDir": {"medium": "Memory"}}]
    mounts: list[dict[str, Any]] = [{"name": "shared-memory", "mountPath": "/dev/shm"}]  # noqa: S108 - the pod's own
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
    }
    if made.fetch_image is not None:
        size = f"{math.ceil(made.disk_bytes * _HEADROOM / MIB) + 64}Mi"
        volumes += [
            {"name": "models", "emptyDir": {"sizeLimit": size}},
            {"name": "lock", "configMap": {"name": f"{made.label}-lock"}},
        ]
        mounts.append({"name": "models", "mountPath": MODELS, "readOnly": True})
        spec["initContainers"] = [
            {
                "name": "fetch",
                "image": made.fetch_image,
                "command": [_literal(word) for word in made.fetch_command],
                "securityContext": {**_DROPPED, "runAsNonRoot": True, "runAsUser": PLANNER_USER},
                "volumeMounts": [
                    {"name": "models", "mountPath": MODELS},
                    {"name": "lock", "mountPath": LOCK_FOLDER, "readOnly": True},
                ],
            }
        ]
    elif made.mount is not None:
        volumes.append({"name": "models", "hostPath": {"path": made.mount}})
        mounts.append({"name": "models", "mountPath": made.mount, "readOnly": True})
    spec["containers"] = [
        {
            "name": name,
            "image": made.image,
            "command": [_literal(made.command[0])],
            "args": [_literal(word) for word in made.command[1:]],
            "ports": [{"name": "http", "containerPort": options.port, "protocol": "TCP"}],
            "resources": resources(made),
            "startupProbe": _probe(failures=STARTUP_SECONDS // PROBE_SECONDS),
            "readinessProbe": _probe(failures=3),
            "livenessProbe": _probe(failures=6),
            "securityContext": _DROPPED,
            "volumeMounts": mounts,
        }
    ]
    spec["volumes"] = volumes
    return spec


def resources(made: Container) -> dict[str, Any]:
    """Return GPUs by count, or main memory by the estimated peak where the model runs on a processor.

    Raises InvalidInput for a vendor whose GPUs have no name as a resource here.
    """
    if made.devices:
        if not made.resource:
            raise InvalidInput(
                "target",
                f"the GPUs of {made.vendor} are not known by a resource's name",
                allowed="nvidia, amd",
            )
        return {"limits": {made.resource: str(made.devices)}}
    size = f"{math.ceil(made.memory_bytes * _HEADROOM / MIB)}Mi"
    return {"requests": {"memory": size}, "limits": {"memory": size}}


def _probe(*, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": HEALTH_PATH, "port": "http"},
        "periodSeconds": PROBE_SECONDS,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _literal(text: str) -> str:
    """Return `text` so that Kubernetes does not take `$(` for the start of a variable."""
    return text.replace("$(", "$$(")
