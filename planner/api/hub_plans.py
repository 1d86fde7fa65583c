"""The planner inside the protocol: a question as a revision, or a preset or stored plan as a repository.

What was decided for a load is in the log of downloads and is kept for that load: a client asks for some things by the
revision it was given and for others by the commit it got back, and must never see two variants mixed.
"""

from __future__ import annotations

import threading
from typing import Final

import msgspec

from planner.api.hub_address import MAIN
from planner.api.hub_errors import Refusal, header_text, no_repository, no_revision
from planner.api.hub_names import commit_meant, commit_of, model_repositories, variant_repository
from planner.api.hub_repositories import Kind, Repository
from planner.api.hub_revisions import Snapshot, of_variant
from planner.domain.outcome import Candidate, Infeasible, Plan
from planner.domain.scenario import ModelSelector, Scenario, SelectorKind
from planner.errors import InvalidInput, NotFound
from planner.wire.serving import Load, Serving

PREFIX: Final = "plan:"
MAX_QUESTION: Final = 2_000
_PLANNING: Final = threading.Lock()
"""One at a time: a client's parallel requests are one load, planned once."""


def asks_plan(repository: Repository, revision: str) -> bool:
    """Return whether a plan is to decide what `revision` of `repository` is."""
    if repository.kind is Kind.PLAN:
        return commit_meant(revision) is None
    return revision[: len(PREFIX)].lower() == PREFIX


def resolve(service: Serving, repository: Repository, load: Load) -> Snapshot:
    """Return what the plan that `load` asks for chooses, and log it. Raises Refusal."""
    with _PLANNING:
        promised = service.promised(load)
        if promised is not None:
            variant = repository.commits.get(commit_of(promised.variant_id))
            if variant is not None:
                service.record_download(load, variant_id=variant.id, plan_id=promised.plan_id)
                snapshot = of_variant(repository, variant)
                return msgspec.structs.replace(
                    snapshot,
                    plan_id=promised.plan_id,
                    notice=f"{_asked(load)} stays at {variant_repository(variant)}@{snapshot.commit[:12]} "
                    f"for this load (plan {promised.plan_id})",
                )
        plan = _plan(service, repository, load.revision)
        chosen, passed_over = _held(repository, plan, load)
        variant = repository.commits[commit_of(chosen.variant_id)]
        service.record_download(load, variant_id=variant.id, plan_id=plan.id)
    snapshot = of_variant(repository, variant)
    return msgspec.structs.replace(
        snapshot, plan_id=plan.id, notice=_notice(load, snapshot, plan, chosen, passed_over)
    )


def _plan(service: Serving, repository: Repository, revision: str) -> Plan:
    try:
        if repository.kind is Kind.PLAN:
            if revision.removeprefix("refs/heads/") != MAIN:
                raise no_revision(
                    repository.id, revision, f"; it has {MAIN}, which the plan decides, and commits"
                )
            return _named(service, repository)
        return service.recommend(scenario=_scenario(service, repository, revision[len(PREFIX) :].strip()))
    except InvalidInput as error:
        raise Refusal(400, error.message) from error


def _named(service: Serving, repository: Repository) -> Plan:
    name = repository.name
    wanted = name.casefold()
    for preset in service.presets():
        if wanted in {preset.id.casefold(), *(alias.casefold() for alias in preset.aliases)}:
            return service.recommend(scenario=Scenario(preset=preset.id))
    try:
        return service.plan(name)
    except NotFound:
        presets = ", ".join(preset.id for preset in service.presets())
        raise no_repository(
            repository.id, f"; `plans/` takes the id of a stored plan or of a preset: {presets}"
        ) from None


def _scenario(service: Serving, repository: Repository, question: str) -> Scenario:
    """Return the question in words as a scenario about the repository's model."""
    model = repository.model
    if model is None or repository.kind is not Kind.MODEL:
        where = model_repositories(model)[0] if model else "models/MODEL"
        raise no_revision(repository.id, PREFIX + question, f"; ask `{where}`, which holds every variant")
    if not question or len(question) > MAX_QUESTION:
        raise Refusal(400, f"the question after `{PREFIX}` must have 1 to {MAX_QUESTION} characters")
    scenario = service.understand(question).scenario
    if scenario.model.kind is not SelectorKind.ANY and not scenario.model.selects(model):
        raise Refusal(
            400, f"the question is about {scenario.model.describe()}, and this repository about {model.id}"
        )
    return msgspec.structs.replace(scenario, model=ModelSelector(kind=SelectorKind.MODEL, value=model.id))


def _held(repository: Repository, plan: Plan, load: Load) -> tuple[Candidate, str | None]:
    """Return the best candidate whose files are held, and the name of the better one that is passed over for it."""
    if isinstance(plan.result, Infeasible):
        raise Refusal(403, _infeasible(plan.result, load, plan.id))
    first = plan.result.chosen
    for candidate in (first, *plan.result.alternatives):
        if commit_of(candidate.variant_id) in repository.commits:
            return candidate, None if candidate is first else f"{first.model_id}/{first.name}"
    raise Refusal(
        403,
        f"{_asked(load)} chooses {first.model_id}/{first.name}, whose files are not held here, nor are those of the "
        f"{len(plan.result.alternatives)} alternatives; register one of them (plan {plan.id})",
    )


def _infeasible(result: Infeasible, load: Load, plan_id: str) -> str:
    parts = [f"nothing satisfies {_asked(load)}: {', '.join(result.conflict) or 'no variant is known'}"]
    if result.nearest:
        parts.append(f"nearest miss {result.nearest[0].model_id}/{result.nearest[0].name}")
    if result.relaxations:
        least = result.relaxations[0]
        parts.append(f"it would with {least.after} in place of {least.before}")
    return "; ".join(parts) + f" (plan {plan_id})"


def _notice(load: Load, snapshot: Snapshot, plan: Plan, chosen: Candidate, passed_over: str | None) -> str:
    variant = snapshot.variant
    name = variant_repository(variant) if variant else chosen.name
    facts = [chosen.scheme]
    if chosen.loss is not None:
        facts.append(f"loss {chosen.loss.figure}")
    facts.append(f"memory {chosen.memory.total}")
    text = f"{_asked(load)} resolved to {name}@{snapshot.commit[:12]} ({', '.join(facts)}; plan {plan.id})"
    if passed_over is not None:
        text += f"; {passed_over} ranks higher, but its files are not held here"
    return text


def _asked(load: Load) -> str:
    if load.revision[: len(PREFIX)].lower() == PREFIX:
        return f"`{load.revision[len(PREFIX) :].strip()}`"
    return f"`{load.repository}`"


def warning_header(notice: str) -> str:
    """Return the value of X-HF-Warning, which clients print once: a topic and a message."""
    return f"plan; {header_text(notice)}"
