"""A server's floor: what every policy must ask at least, so that a repository can be stricter and never laxer.

Each field is merged to the stricter of the two, and every field that was raised is named in the report.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import msgspec

from planner.gate.policy import ANY_TASK, EvidenceRule, Limit, Policy, Screen, TaskRule, regression_of

Rule = TypeVar("Rule", bound=Limit)


class Raised(msgspec.Struct, frozen=True, kw_only=True):
    """A field that the floor made stricter: what the policy asked, and what holds."""

    field: str
    asked: str
    floor: str


def apply_floor(policy: Policy, floor: Policy | None) -> tuple[Policy, tuple[Raised, ...]]:
    """Return the stricter of `policy` and `floor` in every field, and which fields the floor raised."""
    if floor is None:
        return policy, ()
    notes = _Notes()
    merged = msgspec.structs.replace(
        policy,
        against=_against(policy, floor, notes),
        confidence=notes.stricter("confidence", policy.confidence, floor.confidence, max),
        min_items=notes.stricter("min_items", policy.min_items, floor.min_items, max),
        tasks=_tasks(policy.tasks, floor.tasks, notes),
        screen=_screen(policy.screen, floor.screen, notes),
        latency=_limits("latency", policy.latency, floor.latency, notes),
        memory=_limits("memory", policy.memory, floor.memory, notes),
        evidence=_evidence(policy.evidence, floor.evidence, notes),
        on_fail=notes.stricter(
            "on_fail",
            policy.on_fail,
            floor.on_fail,
            lambda *each: "quarantine" if "quarantine" in each else "warn",
        ),
    )
    return merged, tuple(notes.raised)


def _second(_: Any, wanted: Any) -> Any:
    """Take the floor's value: neither is stricter, and the floor decides."""
    return wanted


class _Notes:
    """Collects what is raised."""

    def __init__(self) -> None:
        self.raised: list[Raised] = []

    def note(self, field: str, asked: object, floor: object) -> None:
        """Note that a field was raised."""
        shown = "nothing" if asked is None else str(asked)
        self.raised.append(Raised(field=field, asked=shown, floor=str(floor)))

    def stricter(self, field: str, asked: Any, floor: Any, choose: Callable[..., Any]) -> Any:
        """Return the stricter of two values, of which either may be None for "no demand"."""
        if floor is None:
            return asked
        chosen = floor if asked is None else choose(asked, floor)
        if chosen != asked:
            self.note(field, asked, chosen)
        return chosen


def _against(policy: Policy, floor: Policy, notes: _Notes) -> str:
    if floor.against in {"base", policy.against}:
        return policy.against
    notes.note("against", policy.against, floor.against)
    return floor.against


def _tasks(asked: tuple[TaskRule, ...], floors: tuple[TaskRule, ...], notes: _Notes) -> tuple[TaskRule, ...]:
    rules = list(asked)
    named = {(rule.task.casefold(), rule.metric): rule for rule in asked}
    for floor in floors:
        if floor.task != ANY_TASK:
            _raise_task(rules, floor, notes)
            continue
        for rule in named.values():
            _raise_task(
                rules, msgspec.structs.replace(floor, task=rule.task, metric=rule.metric, source=None), notes
            )
    return tuple(rules)


def _raise_task(rules: list[TaskRule], floor: TaskRule, notes: _Notes) -> None:
    """Make the rules for the floor's task as strict as it is; a margin of the other kind is a rule of its own."""
    found = False
    for number, rule in enumerate(rules):
        same = rule.task.casefold() == floor.task.casefold() and floor.metric in {None, rule.metric}
        if not same or rule.kind is not floor.kind:
            continue
        found = True
        margin = rule.margin
        if floor.limit < rule.limit:
            notes.note(f"tasks.{rule.title}.margin", rule.margin, floor.margin)
            margin = floor.margin
        least = notes.stricter(f"tasks.{rule.title}.min_items", rule.min_items, floor.min_items, max)
        rules[number] = msgspec.structs.replace(rule, margin=margin, min_items=least)
    if not found:
        notes.note(f"tasks.{floor.title}", None, f"margin {floor.margin}")
        rules.append(floor)


def _screen(asked: Screen | None, floor: Screen | None, notes: _Notes) -> Screen | None:
    if floor is None:
        return asked
    base = asked or Screen()
    return Screen(
        kl_mean=notes.stricter("screen.kl_mean", base.kl_mean, floor.kl_mean, min),
        kl_p99=notes.stricter("screen.kl_p99", base.kl_p99, floor.kl_p99, min),
        top1_agreement=notes.stricter(
            "screen.top1_agreement", base.top1_agreement, floor.top1_agreement, max
        ),
        flips=notes.stricter("screen.flips", base.flips, floor.flips, min),
        task=notes.stricter("screen.task", base.task, floor.task, _second),
        source=base.source or floor.source,
    )


def _limits(group: str, asked: tuple[Rule, ...], floors: tuple[Rule, ...], notes: _Notes) -> tuple[Rule, ...]:
    """Return every rule of both: the same one once, with the stricter limit."""
    rules = list(asked)
    for floor in floors:
        place = next((n for n, rule in enumerate(rules) if _same_limit(rule, floor)), None)
        if place is None:
            notes.note(f"{group}.{floor.title}", None, floor.at_most or f"regression {floor.regression}")
            rules.append(floor)
            continue
        rule = rules[place]
        repeats = notes.stricter(f"{group}.{rule.title}.repeats", rule.repeats, floor.repeats, max)
        changed = msgspec.structs.replace(rule, repeats=repeats)
        if _amount(floor) < _amount(rule):
            shown = (rule.at_most or rule.regression, floor.at_most or floor.regression)
            notes.note(f"{group}.{rule.title}", *shown)
            changed = msgspec.structs.replace(changed, at_most=floor.at_most, regression=floor.regression)
        rules[place] = changed
    return tuple(rules)


def _same_limit(rule: Limit, floor: Limit) -> bool:
    """Return whether both limit the same thing in the same way, so that the stricter one stands for both."""
    same_kind = (rule.at_most is None) == (floor.at_most is None)
    return (
        same_kind
        and rule.title == floor.title
        and (rule.device, rule.runtime) == (floor.device, floor.runtime)
    )


def _amount(rule: Limit) -> float:
    return rule.limit or 0.0 if rule.at_most is not None else regression_of(rule) or 0.0


def _evidence(asked: EvidenceRule, floor: EvidenceRule, notes: _Notes) -> EvidenceRule:
    age = asked.max_age
    theirs, ours = floor.max_age_seconds, asked.max_age_seconds
    if theirs is not None and (ours is None or theirs < ours):
        notes.note("evidence.max_age", asked.max_age, floor.max_age)
        age = floor.max_age
    versions = {**asked.versions}
    for name, version in floor.versions.items():
        versions[name] = notes.stricter(f"evidence.versions.{name}", versions.get(name), version, _second)
    bases: tuple[Literal["measured", "imported"], ...] = tuple(
        basis for basis in asked.bases if basis in floor.bases
    )
    if bases != asked.bases:
        bases = bases or floor.bases
        notes.note("evidence.bases", ", ".join(asked.bases), ", ".join(bases))
    return EvidenceRule(max_age=age, versions=versions, bases=bases)
