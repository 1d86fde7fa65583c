"""Deploying: from a lock to ready commands or manifests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from planner.deploy.compose import compose_file
from planner.deploy.containers import MODELS, Container, container
from planner.deploy.deployment import Deployment, DeployOptions, Document, Step, Target
from planner.deploy.kserve import inference_service
from planner.deploy.kubernetes import manifests
from planner.deploy.lock import Lock, LockedRuntime
from planner.deploy.names import dns_label
from planner.deploy.runtimes import RUNTIMES, RuntimeFacts, runtime_facts
from planner.deploy.yaml_text import write_yaml
from planner.domain.constraint import RuntimeFilter
from planner.domain.runtime import canonical
from planner.domain.units import format_bytes, format_ratio
from planner.domain.variant import FileFormat
from planner.errors import InvalidInput

_ON_MACHINE: Final = "127.0.0.1"
_IN_CONTAINER: Final = "0.0.0.0"  # noqa: S104 - of the container, which publishes its port on loopback or to the cluster


def deploy(lock: Lock, options: DeployOptions) -> Deployment:
    """Return what serves `lock` under `options`.

    Raises InvalidInput when the lock has no runtime or another one than the target, and when the files are neither in the
    registry nor given.
    """
    runtime, facts = _runtime(lock, options.target)
    if options.model is None and not lock.variant.fetchable:
        raise InvalidInput(
            "model",
            f"the registry does not hold the files of `{lock.variant.id}`",
            allowed="a folder, file or repository that you have them in, or a variant with files",
        )
    contained = options.target.runtime is None
    served = _served_name(lock, facts, options, contained=contained)
    words = _serve_command(lock, runtime, facts, options, served, contained=contained)
    notes = list(_notes(lock, runtime, facts, options))
    commands: tuple[Step, ...] = ()
    documents: tuple[Document, ...] = ()
    if contained:
        made = container(lock, runtime, facts, options, words)
        notes += made.notes
        documents = (_document(lock, made, options, served),)
    else:
        serve = Step(purpose=f"serve {lock.variant.name} with {facts.name}", words=words)
        fetch = Step(
            purpose=f"fetch {len(lock.files)} files, every hash checked",
            words=("planner", "fetch", lock.variant.id, _folder(lock)),
        )
        commands = (serve,) if options.model is not None else (fetch, serve)
    return Deployment(
        target=options.target,
        runtime=facts.name,
        runtime_version=runtime.version,
        variant_id=lock.variant.id,
        served_name=served,
        arguments=runtime.arguments,
        commands=commands,
        documents=documents,
        notes=tuple(notes),
        citation=facts.citation,
    )


def _runtime(lock: Lock, target: Target) -> tuple[LockedRuntime, RuntimeFacts]:
    runtime = lock.runtime
    if runtime is None:
        raise InvalidInput(
            "runtime",
            f"the lock has none: no commands are written for the one asked for, or for any that loads {lock.variant.name} "
            f"({lock.variant.scheme}, {lock.variant.file_format.value} files)",
            allowed=f"a lock for {', '.join(RUNTIMES)}: ask with the runtime, such as `… on vllm`",
        )
    facts = runtime_facts(runtime.name)
    if target.runtime is not None and canonical(target.runtime) != facts.name:
        raise InvalidInput(
            "target", f"the lock is for {facts.name}", allowed=f"{facts.name}, compose, kubernetes, kserve"
        )
    return runtime, facts


def _folder(lock: Lock) -> str:
    """Return the folder on this machine that a bare command fetches into."""
    return f"models/{dns_label(lock.variant.name)}"


def _model_path(lock: Lock, facts: RuntimeFacts, options: DeployOptions, *, contained: bool) -> str:
    """Return what the runtime is told to load: a folder, or, for GGUF, the file that comes first."""
    if options.model is not None:
        return options.model
    folder = MODELS if contained else _folder(lock)
    if FileFormat.GGUF not in facts.formats:
        return folder
    weights = sorted(file.path for file in lock.files if file.path.casefold().endswith(".gguf"))
    if not weights:
        raise InvalidInput("files", "none of the lock's files is a GGUF", allowed="at least one .gguf file")
    return f"{folder}/{weights[0]}"


def _served_name(lock: Lock, facts: RuntimeFacts, options: DeployOptions, *, contained: bool) -> str:
    """Return the name requests use; transformers serve knows models by their path alone."""
    if facts.name != "transformers":
        return options.name or lock.variant.name
    if options.name is not None:
        raise InvalidInput(
            "name", "transformers serve has no option for it; it is the path", allowed="leave it out"
        )
    return _model_path(lock, facts, options, contained=contained)


def _serve_command(
    lock: Lock,
    runtime: LockedRuntime,
    facts: RuntimeFacts,
    options: DeployOptions,
    served: str,
    *,
    contained: bool,
) -> tuple[str, ...]:
    path = _model_path(lock, facts, options, contained=contained)
    program = facts.image_command if contained else facts.command
    where = ("--host", _IN_CONTAINER if contained else _ON_MACHINE, "--port", str(options.port))
    flags = tuple(word for argument in runtime.arguments for word in argument.words)
    match facts.name:
        case "vllm":
            return (*program, path, "--served-model-name", served, *where, *flags)
        case "sglang":
            return (*program, "--model-path", path, "--served-model-name", served, *where, *flags)
        case "llama.cpp":
            return (*program, "--model", path, "--alias", served, *where, *flags)
        case _:
            return (*program, path, *where, *flags)


def _document(lock: Lock, made: Container, options: DeployOptions, served: str) -> Document:
    plan = lock.plan
    comment = (
        f"{lock.variant.name} ({lock.variant.id})",
        f"from plan {plan.plan_id} at revision {plan.revision}, by planner {plan.planner_version}",
    )
    if options.target is Target.COMPOSE:
        return Document(
            name="compose.yaml", content=write_yaml(compose_file(lock, made, options), comment=comment)
        )
    make = manifests if options.target is Target.KUBERNETES else inference_service
    documents = make(lock, made, options, served_name=served)
    return Document(name=f"{options.target.value}.yaml", content=write_yaml(*documents, comment=comment))


def _notes(lock: Lock, runtime: LockedRuntime, facts: RuntimeFacts, options: DeployOptions) -> list[str]:
    """Return what is to be known before starting it: what may not fit, what was assumed, what is not checked."""
    return [
        *_memory_notes(lock, runtime, facts),
        *_placement_notes(lock, facts),
        *_version_notes(lock, runtime, facts),
        *_loading_notes(lock, facts, options),
    ]


def _memory_notes(lock: Lock, runtime: LockedRuntime, facts: RuntimeFacts) -> Iterator[str]:
    wanted, capacity = 1 - lock.scenario.risk, lock.placement.capacity_bytes
    if capacity is None:
        yield "The scenario names no memory: no share of it is set, and whether it fits is not known."
    elif runtime.fit_probability is not None and runtime.fit_probability < wanted:
        yield (
            f"Under {facts.name} a peak of {format_bytes(runtime.peak_bytes)} of {format_bytes(capacity)} is expected: "
            f"it fits with probability {runtime.fit_probability:.3f}, less than the {format_ratio(wanted)} asked for."
        )


def _placement_notes(lock: Lock, facts: RuntimeFacts) -> Iterator[str]:
    placement = lock.placement
    if placement.spans_machines:
        yield f"One replica spans machines: start {facts.name} on each of them as its documentation says."
    if placement.replicas > 1:
        yield f"The request rate needs {placement.replicas} replicas."
    if placement.used * placement.replicas < placement.count:
        yield f"{placement.used} of {placement.count} devices are used by one replica."


def _version_notes(lock: Lock, runtime: LockedRuntime, facts: RuntimeFacts) -> Iterator[str]:
    if runtime.version != facts.version:
        yield f"The lock's flags were written for {facts.name} {runtime.version}; {facts.version} is the one known here."
    asked = next(
        (each.version for each in lock.scenario.constraints if isinstance(each, RuntimeFilter)), None
    )
    if asked is not None and asked != facts.version:
        yield f"The question is about {facts.name} {asked}; flags and image are those of {facts.version}."


def _loading_notes(lock: Lock, facts: RuntimeFacts, options: DeployOptions) -> Iterator[str]:
    if lock.variant.file_format is FileFormat.UNKNOWN:
        yield f"The variant's file format is not known: that {facts.name} loads it is assumed."
    if options.model is not None:
        yield "The files come from elsewhere: that they are the variant's is not checked."
    if facts.name == "transformers":
        yield "transformers serve has no option that limits the length or number of requests."
