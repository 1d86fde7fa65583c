"""Containers: what compose, Kubernetes and KServe share: images, where the files lie, and the commands inside."""

from __future__ import annotations

from typing import Final

import msgspec

from planner import __version__
from planner.deploy.deployment import DeployOptions
from planner.deploy.lock import Lock, LockedRuntime
from planner.deploy.names import dns_label
from planner.deploy.runtimes import RuntimeFacts
from planner.domain.device import DeviceKind
from planner.errors import InvalidInput

MODELS: Final = "/models"
"""Folder inside the containers that holds the files, and nothing else."""
LOCK_FOLDER: Final = "/lock"
LOCK_NAME: Final = "planner.lock.toml"
STARTUP_SECONDS: Final = 3600
"""How long a runtime may take to load: probing sooner costs nothing, giving up too soon restarts the load for ever."""
PROBE_SECONDS: Final = 10
PLANNER_USER: Final = 10001
"""User of the planner's own image (docker/server.Dockerfile)."""
_VENDOR_RESOURCES: Final = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu"}
"""Extended resources of the vendors' device plugins (NVIDIA/k8s-device-plugin, ROCm/k8s-device-plugin).

A Multi-Instance GPU slice is `nvidia.com/mig-<profile>` under the plugin's mixed strategy."""
DEFAULT_REGISTRY: Final = "http://variant-planner:8765"


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """One model server in containers, before it takes the form of a target."""

    label: str
    """DNS label that everything of it is called by."""
    image: str
    command: tuple[str, ...]
    """Program with all arguments."""
    fetch_image: str | None
    """Image of the step that fetches the files; None when they come from elsewhere."""
    fetch_command: tuple[str, ...]
    devices: int
    """GPUs it needs; 0 on a processor."""
    vendor: str
    resource: str
    """Name of the GPUs as a Kubernetes resource."""
    replicas: int
    disk_bytes: int
    memory_bytes: int
    """Peak of the process in main memory, where it runs on a processor."""
    mount: str | None
    """Folder of the host that holds the files, where `model` names one."""
    notes: tuple[str, ...]


def vendor_of(lock: Lock) -> str:
    """Return the vendor of the devices in lower case, "cpu" for processors; a bare GPU is taken for NVIDIA's."""
    if lock.placement.kind is not DeviceKind.GPU:
        return "cpu"
    return (lock.placement.vendor or "nvidia").casefold()


def container(
    lock: Lock, runtime: LockedRuntime, facts: RuntimeFacts, options: DeployOptions, words: tuple[str, ...]
) -> Container:
    """Return the container that runs the command line `words`.

    Raises InvalidInput where an image, or the name of the vendor's GPUs to Kubernetes, is not known and not given.
    """
    vendor = vendor_of(lock)
    placement = lock.placement
    if placement.spans_machines:
        raise InvalidInput(
            "target",
            f"one replica takes {placement.used} devices, {placement.count // placement.nodes} are in a machine",
            allowed="a runtime, to be started on every machine; containers here run on one",
        )
    notes: list[str] = []
    image = options.image or facts.images.get(vendor)
    if image is None:
        raise InvalidInput(
            "image",
            f"no image of {facts.name} for {vendor} devices is known",
            allowed="one of your own, with the runtime in it",
        )
    if placement.kind is DeviceKind.GPU and placement.vendor is None:
        notes.append("The scenario names no device: GPUs of NVIDIA are assumed.")
    if options.image is None and facts.version not in image:
        notes.append(f"{image} moves with its project; the flags were written for {facts.version}.")
    fetched = options.model is None
    source = options.fetch_from or DEFAULT_REGISTRY
    if fetched and options.fetch_from is None:
        notes.append(f"Files are fetched from {source}: give the registry's URL as the containers reach it.")
    if fetched and any(host in source for host in ("//127.", "//localhost", "//[::1]")):
        notes.append(f"{source} is a container's own loopback: the registry is elsewhere as seen from there.")
    planner_image = options.planner_image or f"variant-planner:{__version__}"
    lock_file = f"{LOCK_FOLDER}/{LOCK_NAME}"
    return Container(
        label=dns_label(lock.variant.name),
        image=image,
        command=words,
        fetch_image=planner_image if fetched else None,
        fetch_command=("planner", "fetch", "--lock", lock_file, MODELS, "--server", source),
        devices=placement.used if placement.kind is DeviceKind.GPU else 0,
        vendor=vendor,
        resource=f"nvidia.com/mig-{placement.partition}"
        if placement.partition is not None
        else _VENDOR_RESOURCES.get(vendor, ""),
        replicas=options.replicas or placement.replicas,
        disk_bytes=sum(file.size for file in lock.files),
        memory_bytes=runtime.peak_bytes,
        mount=options.model if options.model and options.model.startswith("/") else None,
        notes=tuple(notes),
    )
