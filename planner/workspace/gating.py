"""Gates: evidence gathered from one state of the registry, judged, and followed by what the verdict asks for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from planner.choose.losses import is_baseline
from planner.domain.alias import Alias
from planner.domain.evaluation import Evaluation
from planner.domain.lifecycle import MAX_REASON, LifecycleState
from planner.domain.listing import Page, VariantFilter
from planner.domain.profile import Profile
from planner.domain.variant import Variant
from planner.errors import InvalidInput, NotFound, PlannerError
from planner.gate.evidence import Evidence, task_name
from planner.gate.floor import Raised, apply_floor
from planner.gate.judging import judge
from planner.gate.policy import Policy, problems_of
from planner.gate.policy_text import MAX_CHARACTERS, parse_policy
from planner.gate.report import CheckState, Effect, GateCheck, GateReport, GateVerdict
from planner.registry import aliases, evaluations, gates, lifecycle, models, profiles, variants
from planner.registry.transaction import ReadTransaction
from planner.settings import Settings
from planner.wire import acting
from planner.wire.gating import MAX_GATED, GateAllRequest, GateRequest, GateRow, PolicyCheck
from planner.wire.lifecycle import SetState
from planner.wire.page import DEFAULT_LIMIT, MAX_LIMIT
from planner.workspace.attribution import check_confines
from planner.workspace.gate_queue import GateQueue
from planner.workspace.identifiers import new_id
from planner.workspace.lifecycle import Lifecycle
from planner.workspace.recording import Recording

MAX_PER_TASK: Final = 50
"""Newest evaluations of a task that are judged."""


def read_floor(path: Path | None) -> Policy | None:
    """Return the floor in a file, None without one. Raises InvalidInput naming the field."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CHARACTERS + 1).decode()
    except OSError as error:
        raise InvalidInput(
            "PLANNER_GATE_FLOOR", f"{path} cannot be read: {error.strerror}", allowed="a policy file"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInput("PLANNER_GATE_FLOOR", f"{path} is not UTF-8", allowed="a policy file") from error
    return parse_policy(text, name=str(path), floor=True)


class Gating(Lifecycle, GateQueue, Recording):
    """Implements `planner.wire.gating.Gating`."""

    def __init__(self, settings: Settings) -> None:
        self._floor = read_floor(settings.gate_floor)
        super().__init__(settings)

    def gate(self, request: GateRequest) -> GateReport:
        """Judge a variant, and do what the verdict asks for."""
        policy, raised = self._in_force(request.policy, request.against)
        now = self.now()
        with self.registry.read() as tx:
            variant = variants.get(tx, request.variant)
            reference = _reference(tx, policy)
            alias = _alias(tx, policy.on_pass.move_alias)
            state = lifecycle.get(tx, variant.id).state
            evidence = self._gather(tx, variant, policy, reference)
        if not request.dry_run:
            check_confines(variant)
        found = judge(policy, evidence, now=now, sequential=request.sequential, flips=request.explain)
        report = GateReport(
            id=new_id(),
            variant_id=variant.id,
            name=variant.name,
            model_id=variant.model_id,
            against=policy.against,
            reference_id=evidence.reference.id if evidence.reference is not None else None,
            verdict=found.verdict,
            sentence=found.sentence,
            checks=found.checks,
            policy=policy,
            raised=raised,
            sequential=request.sequential,
            judged_at=now,
            jobs=found.jobs,
            flips=found.flips,
            actor=acting.actor(request.actor),
        )
        if request.dry_run:
            return report
        jobs = report.jobs
        if request.queue and report.verdict is GateVerdict.INCONCLUSIVE:
            jobs = self.queue_gate_jobs(report)
        effects = self._effects(report, policy, alias, state)
        report = msgspec.structs.replace(report, jobs=jobs, effects=effects)
        with self.registry.write() as tx:
            gates.add(tx, report)
        return report

    def gate_all(
        self, request: GateAllRequest, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[GateRow]:
        """Return what the policy would decide of each variant; against another variant, of those of its model."""
        policy, _ = self._in_force(request.policy, request.against)
        now = self.now()
        with self.registry.read() as tx:
            reference = _reference(tx, policy)
            wanted = VariantFilter(
                model=request.model if reference is None else reference.model_id,
                search=request.search,
                fetchable=None if request.published else True,
            )
            found = variants.page(tx, wanted, limit=min(limit, MAX_GATED), cursor=cursor)
            rows: list[GateRow] = []
            for row in found.items:
                evidence = self._gather(tx, row.variant, policy, reference)
                judged = judge(policy, evidence, now=now)
                rows.append(
                    GateRow(
                        variant_id=row.variant.id,
                        name=row.variant.name,
                        model_id=row.variant.model_id,
                        verdict=judged.verdict,
                        sentence=judged.sentence,
                        states=_states(judged.checks),
                    )
                )
        return Page(items=tuple(rows), next_cursor=found.next_cursor)

    def gates(
        self,
        *,
        variant: str | None = None,
        verdict: GateVerdict | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[GateReport]:
        """Return the reports of gates, newest first."""
        with self.registry.read() as tx:
            identity = None if variant is None else variants.get(tx, variant).id
            return gates.page(tx, variant_id=identity, verdict=verdict, limit=limit, cursor=cursor)

    def gate_report(self, gate_id: str) -> GateReport:
        """Return one report."""
        with self.registry.read() as tx:
            return gates.get(tx, gate_id)

    def check_policy(self, policy: Policy) -> PolicyCheck:
        """Return the policy as it would hold here."""
        merged, raised = self._in_force(policy, None)
        return PolicyCheck(policy=merged, raised=raised, has_floor=self._floor is not None)

    def _in_force(self, policy: Policy, against: str | None) -> tuple[Policy, tuple[Raised, ...]]:
        """Return the policy with the floor applied. Raises InvalidInput naming the field."""
        if against is not None:
            try:
                policy = msgspec.convert(
                    {**msgspec.to_builtins(policy), "against": against}, Policy
                )  # checks its form
            except msgspec.ValidationError:
                raise InvalidInput(
                    "against", f"`{against[:100]}` is unknown", allowed="base, alias:NAME or variant:ID"
                ) from None
        problems = problems_of(policy)
        if problems:
            first = problems[0]
            raise InvalidInput(f"policy.{first.field}", first.problem, allowed=first.allowed)
        return apply_floor(policy, self._floor)

    def _gather(
        self, tx: ReadTransaction, variant: Variant, policy: Policy, reference: Variant | None
    ) -> Evidence:
        """Return everything that a policy needs to know of a variant and of what it is held against."""
        mine = _evaluations(tx, variant, policy)
        base = _base(tx, variant, mine)
        other = reference if reference is not None else base
        wants_profiles = bool(policy.limits)
        digests = {
            digest.removeprefix("sha256:") for each in mine if (digest := each.dataset_digest) is not None
        }
        missing = set(self.missing(sorted(digests))) if digests else set[str]()
        return Evidence(
            variant=variant,
            evaluations=mine,
            profiles=_profiles(tx, variant) if wants_profiles else (),
            reference=other,
            reference_evaluations=None if reference is None else _evaluations(tx, reference, policy),
            reference_profiles=_profiles(tx, other) if wants_profiles and other is not None else (),
            noise=() if base is None else _against_itself(tx, base, policy),
            no_bases=_no_bases(tx, variant, mine),
            stored=frozenset(digests - missing),
        )

    def _effects(
        self, report: GateReport, policy: Policy, alias: Alias | None, state: LifecycleState
    ) -> tuple[Effect, ...]:
        if report.verdict is GateVerdict.PASS and policy.on_pass.move_alias is not None:
            return (self._promote(report, policy.on_pass.move_alias, alias, state),)
        if report.verdict is GateVerdict.FAIL and policy.on_fail == "quarantine":
            return (self._quarantine(report, state),)
        return ()

    def _promote(self, report: GateReport, name: str, before: Alias | None, state: LifecycleState) -> Effect:
        """Move the alias if it still points where it did when the gate began."""
        if not state.is_recommended:
            detail = f"alias {name} stays: the variant is {state.value}"
            return Effect(kind="alias", done=False, detail=detail)
        was = before.variant_id if before is not None else None
        if was == report.variant_id:
            return Effect(kind="alias", done=True, detail=f"alias {name} points at it already")
        try:
            moved = self.move_alias(name, report.variant_id, expected=was, actor=report.actor)
        except PlannerError as error:
            return Effect(kind="alias", done=False, detail=f"alias {name} was not moved: {error.message}")
        origin = f"from {was}" if was is not None else "newly made"
        return Effect(
            kind="alias", done=True, detail=f"alias {name} points at it, {origin}, move {moved.number}"
        )

    def _quarantine(self, report: GateReport, state: LifecycleState) -> Effect:
        if state is LifecycleState.QUARANTINED:
            return Effect(kind="quarantine", done=True, detail="it is quarantined already")
        reason = f"failed the gate{f' {report.policy.name}' if report.policy.name else ''}: {report.sentence}"
        change = SetState(
            state=LifecycleState.QUARANTINED, reason=reason[:MAX_REASON], actor=report.actor, expected=state
        )
        try:
            self.set_state(report.variant_id, change)
        except PlannerError as error:
            return Effect(kind="quarantine", done=False, detail=f"it was not quarantined: {error.message}")
        return Effect(kind="quarantine", done=True, detail="it is quarantined: not handed out any more")


def _states(checks: tuple[GateCheck, ...]) -> dict[str, CheckState]:
    """Return the states by check; where two ask for different things of the same, also by what they ask."""
    titles = [check.title for check in checks]
    return {
        each.title if titles.count(each.title) == 1 else f"{each.title}, {each.rule}": each.state
        for each in checks
    }


def _reference(tx: ReadTransaction, policy: Policy) -> Variant | None:
    """Return the variant that `against` names, None for the base. Raises NotFound."""
    kind, _, name = policy.against.partition(":")
    if kind == "base":
        return None
    if kind == "alias":
        return variants.get(tx, aliases.get(tx, name).variant_id)
    return variants.get(tx, name)


def _alias(tx: ReadTransaction, name: str | None) -> Alias | None:
    if name is None:
        return None
    try:
        return aliases.get(tx, name)
    except NotFound:
        return None


def _base(tx: ReadTransaction, variant: Variant, known: tuple[Evaluation, ...]) -> Variant | None:
    """Return the registered variant that a variant's loss is counted from, None when it is not registered."""
    named = [variant.provenance.base_variant_id, *(each.baseline_variant_id for each in known)]
    for identity in dict.fromkeys(each for each in named if each is not None):
        try:
            return variants.get(tx, identity)
        except NotFound:
            continue
    return None


def _no_bases(tx: ReadTransaction, variant: Variant, known: tuple[Evaluation, ...]) -> dict[str, str]:
    """Return the names of registered variants that a build's loss is or may be counted from, and that are no base of it."""
    found: dict[str, str] = {}
    named = [variant.provenance.base_variant_id, *(each.baseline_variant_id for each in known)]
    for identity in dict.fromkeys(each for each in named if each is not None):
        try:
            other = variants.get(tx, identity)
        except NotFound:
            continue
        if other.model_id != variant.model_id or not (
            other.scheme.is_reference or is_baseline(other, models.get(tx, other.model_id))
        ):
            found[other.id] = other.name
    return found


def _evaluations(tx: ReadTransaction, variant: Variant, policy: Policy) -> tuple[Evaluation, ...]:
    """Return a variant's evaluations, those of wanted tasks with their records."""
    wanted = {rule.task.casefold() for rule in policy.tasks}
    found: list[Evaluation] = []
    counts: dict[tuple[str, str], int] = {}
    for each in sorted(_every_evaluation(tx, variant), key=_newest_first):
        if task_name(each.task) not in wanted:
            found.append(each)
            continue
        key = (task_name(each.task), each.metric)
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= MAX_PER_TASK:
            found.append(evaluations.get(tx, each.id))
    return tuple(found)


def _against_itself(tx: ReadTransaction, base: Variant, policy: Policy) -> tuple[Evaluation, ...]:
    wanted = {rule.task.casefold() for rule in policy.tasks}
    return tuple(
        each
        for each in _every_evaluation(tx, base)
        if each.baseline_variant_id == base.id and task_name(each.task) in wanted and each.doubt is None
    )


def _every_evaluation(tx: ReadTransaction, variant: Variant) -> Iterator[Evaluation]:
    cursor: str | None = None
    while True:
        page = evaluations.page(tx, variant_id=variant.id, limit=MAX_LIMIT, cursor=cursor)
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return


def _profiles(tx: ReadTransaction, variant: Variant) -> tuple[Profile, ...]:
    found: list[Profile] = []
    cursor: str | None = None
    while True:
        page = profiles.page(tx, variant_id=variant.id, limit=MAX_LIMIT, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return tuple(found)


def _newest_first(evaluation: Evaluation) -> tuple[float, str]:
    measured: datetime | None = evaluation.measured_at
    return (-measured.timestamp() if measured is not None else 0.0, evaluation.id)
