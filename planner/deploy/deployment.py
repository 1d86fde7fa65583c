"""Deployment: what a lock is turned into, and the choices that are left to who deploys it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from planner.deploy.arguments import Argument
from planner.deploy.names import check_image, check_namespace, check_plain, check_url
from planner.errors import InvalidInput


class Target(StrEnum):
    """A runtime to be started by hand, or something that starts one in containers."""

    VLLM = "vllm"
    LLAMA_CPP = "llama.cpp"
    TRANSFORMERS = "transformers"
    SGLANG = "sglang"
    COMPOSE = "compose"
    KUBERNETES = "kubernetes"
    KSERVE = "kserve"

    @property
    def runtime(self) -> str | None:
        """Return the runtime that the target is, None for those that run any in containers."""
        return None if self in {Target.COMPOSE, Target.KUBERNETES, Target.KSERVE} else self.value


class DeployOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a plan does not say: where to listen, under which name, from which image, and where the files come from."""

    target: Target
    port: int = 8000
    name: str | None = None
    """Name the model answers to; the variant's unless given."""
    image: str | None = None
    """Image of the runtime; the one its project publishes unless given."""
    planner_image: str | None = None
    """Image with `planner` in it, which fetches the files; `variant-planner:VERSION` unless given."""
    fetch_from: str | None = None
    """URL of the registry as the containers reach it."""
    model: str | None = None
    """Files or repository to serve instead of fetching them: for variants whose files the registry does not hold."""
    namespace: str | None = None
    replicas: int | None = None
    """Copies to run; as many as the plan needs unless given."""

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise InvalidInput("port", f"{self.port} is out of range", allowed="1 to 65535")
        if self.replicas is not None and not 1 <= self.replicas <= 10_000:
            raise InvalidInput("replicas", f"{self.replicas} is out of range", allowed="1 to 10000")
        for field in ("name", "model"):
            value: str | None = getattr(self, field)
            if value is not None:
                check_plain(field, value)
        for field in ("image", "planner_image"):
            value = getattr(self, field)
            if value is not None:
                check_image(field, value)
        if self.fetch_from is not None:
            check_url("fetch_from", self.fetch_from)
        if self.namespace is not None:
            check_namespace(self.namespace)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A command, as words that need no further quoting, and what it is for."""

    purpose: str
    words: tuple[str, ...]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A file to write."""

    name: str
    content: str


class Deployment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Ready commands, or files to apply, with the reason for every flag and what is to be known beforehand."""

    target: Target
    runtime: str
    runtime_version: str
    variant_id: str
    served_name: str
    """What requests put into `model`."""
    arguments: tuple[Argument, ...]
    commands: tuple[Step, ...] = ()
    documents: tuple[Document, ...] = ()
    notes: tuple[str, ...] = ()
    citation: str = ""
