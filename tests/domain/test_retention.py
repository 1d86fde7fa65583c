from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.domain.lifecycle import LifecycleState
from planner.domain.retention import Keep, Reason, ReasonKind, RetentionPolicy, StoredVariant, decide
from planner.errors import InvalidInput

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LAST_ONE = RetentionPolicy(version=1, keep=Keep(last=1))


def stored(name: str, *, model: str = "m", age: float = 0, **more: Any) -> StoredVariant:
    given = {"scheme": "int4", "state": LifecycleState.ACTIVE, "bytes": 10, **more}
    return StoredVariant(
        id=f"sha256:{name}", model_id=model, name=name, created_at=NOW - timedelta(days=age), **given
    )


def kept(variants: list[StoredVariant], policy: RetentionPolicy, **needed: str) -> dict[str, list[str]]:
    reasons = {f"sha256:{name}": [Reason(kind=ReasonKind.PIN, detail=why)] for name, why in needed.items()}
    decisions = decide(variants, policy, needed=reasons, now=NOW)
    in_order = sorted((each.model_id, each.name) for each in variants if each.has_files)
    assert [(each.model_id, each.name) for each in decisions] == in_order
    return {each.name: [reason.detail for reason in each.reasons] for each in decisions if each.kept}


def test_the_newest_of_each_model_are_kept() -> None:
    variants = [stored("a", age=3), stored("b", age=2), stored("c", age=1), stored("d", model="n", age=9)]
    assert kept(variants, RetentionPolicy(version=1, keep=Keep(last=2))) == {
        "b": ["among the newest 2 of m"],
        "c": ["among the newest 2 of m"],
        "d": ["among the newest 2 of n"],
    }


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (Keep(younger_than_days=2), {"young"}),
        (Keep(states=(LifecycleState.DEPRECATED,)), {"old"}),
        (Keep(names=("o*",)), {"old", "odd"}),
        (Keep(schemes=("fp8*",)), {"odd"}),
        (Keep(younger_than_days=2, schemes=("fp8*",)), {"young", "odd"}),
    ],
)
def test_every_rule_keeps_by_itself(keep: Keep, expected: set[str]) -> None:
    variants = [
        stored("young", age=1.9),
        stored("old", age=2, state=LifecycleState.DEPRECATED),
        stored("odd", age=50, scheme="fp8-dynamic"),
    ]
    assert set(kept(variants, RetentionPolicy(version=1, keep=keep))) == expected


def test_models_that_the_policy_is_not_about_are_kept() -> None:
    policy = RetentionPolicy(version=1, keep=Keep(last=1), models=("llama-*",))
    variants = [
        stored("a", model="llama-8b", age=1),
        stored("b", model="llama-8b"),
        stored("c", model="qwen"),
    ]
    assert kept(variants, policy) == {
        "b": ["among the newest 1 of llama-8b"],
        "c": ["the policy is not about qwen", "among the newest 1 of qwen"],
    }


def test_what_is_needed_is_kept_with_its_base_and_baseline_and_theirs() -> None:
    variants = [
        stored("reference", age=90, is_baseline=True),
        stored("first", age=80),
        stored("second", age=70, base_id="sha256:first"),
        stored("third", age=60, base_id="sha256:second", baseline_ids=("sha256:other",)),
        stored("other", age=99, model="n"),
        stored("unused", age=50),
        stored("newest"),
        stored("new", model="n"),
    ]
    assert kept(variants, LAST_ONE, third="release") == {
        "third": ["release"],
        "second": ["base of third"],
        "first": ["base of second"],
        "other": ["baseline of third"],
        "reference": ["baseline of first and 3 more"],
        "newest": ["among the newest 1 of m"],
        "new": ["among the newest 1 of n"],
    }


def test_a_published_variant_is_not_decided_on_and_keeps_what_it_needs() -> None:
    variants = [
        stored("paper", has_files=False, bytes=0, baseline_ids=("sha256:old",)),
        stored("old", age=9),
        stored("new"),
    ]
    assert kept(variants, LAST_ONE)["old"] == ["baseline of paper"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '{"version": 1, "keep": {}}',
            "keep: says nothing; allowed: at least one of last, younger_than_days",
        ),
        ('{"version": 2, "keep": {"last": 1}}', "version: 2 is not readable here"),
        ('{"version": 1, "keep": {"states": ["deleted"]}}', "`deleted` has no files to keep"),
    ],
)
def test_policies_that_are_refused(text: str, problem: str) -> None:
    with pytest.raises((InvalidInput, msgspec.ValidationError), match=problem):
        msgspec.json.decode(text, type=RetentionPolicy)


@pytest.mark.parametrize(
    "text",
    [
        '{"version": 1, "keep": {"lats": 1}}',
        '{"version": 1, "keep": {"last": 0}}',
        '{"version": 1, "keep": {"last": 1}, "alias_history_days": -1}',
        '{"version": 1, "keep": {"names": [""]}}',
        '{"keep": {"last": 1}}',
    ],
)
def test_fields_are_checked(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=RetentionPolicy)


def test_the_digest_is_of_what_it_says() -> None:
    same = msgspec.json.decode('{"keep": {"last": 1}, "version": 1}', type=RetentionPolicy)
    assert same.digest == LAST_ONE.digest != RetentionPolicy(version=1, keep=Keep(last=2)).digest


@st.composite
def _graphs(draw: st.DrawFn) -> tuple[list[StoredVariant], dict[str, list[Reason]], RetentionPolicy]:
    count = draw(st.integers(1, 14))
    ids = [f"sha256:v{n}" for n in range(count)]
    other = st.sampled_from([*ids, "sha256:absent"])
    variants = [
        StoredVariant(
            id=id_,
            model_id=draw(st.sampled_from(["m", "n", "llama-8b"])),
            name=f"v{n}",
            scheme=draw(st.sampled_from(["int4", "bf16"])),
            state=draw(st.sampled_from([state for state in LifecycleState if state.has_files])),
            created_at=draw(st.none() | st.integers(0, 100).map(lambda days: NOW - timedelta(days=days))),
            bytes=1,
            base_id=draw(st.none() | other),
            baseline_ids=tuple(draw(st.lists(other, max_size=2))),
            has_files=draw(st.integers(0, 9)) > 0,
            is_baseline=draw(st.booleans()),
        )
        for n, id_ in enumerate(ids)
    ]
    reason = st.sampled_from(list(ReasonKind)).map(lambda kind: Reason(kind=kind, detail="x"))
    needed = draw(st.dictionaries(other, st.lists(reason, min_size=1, max_size=2), max_size=4))
    keep = draw(
        st.builds(
            Keep,
            last=st.none() | st.integers(1, 3),
            younger_than_days=st.none() | st.floats(0.5, 50),
            names=st.just(("v1*",)),
        )
    )
    return (
        variants,
        needed,
        RetentionPolicy(version=1, keep=keep, models=draw(st.just(("*",)) | st.just(("m",)))),
    )


@settings(max_examples=300, deadline=None)
@given(_graphs())
def test_nothing_that_is_needed_is_deleted_and_nothing_else_is_kept(case: Any) -> None:
    """Against a slow statement of the rule: the least set that holds the roots and, with a variant, what it needs."""
    variants, needed, policy = case
    decisions = decide(variants, policy, needed=needed, now=NOW)
    by_id = {each.id: each for each in variants}
    in_files = {each.id for each in variants if each.has_files}
    assert {each.variant_id for each in decisions} == in_files
    kept_ids = {each.variant_id for each in decisions if each.kept}
    must = {id_ for id_ in needed if id_ in by_id} | (set(by_id) - in_files)
    must |= {
        each.variant_id
        for each in decisions
        if any(r.kind in {ReasonKind.RULE, ReasonKind.OUTSIDE} for r in each.reasons)
    }
    while True:
        more = set(must)
        for id_ in must:
            each = by_id[id_]
            more |= {other for other in (each.base_id, *each.baseline_ids) if other in by_id}
            if not each.is_baseline:
                more |= {b.id for b in variants if b.is_baseline and b.model_id == each.model_id}
        if more == must:
            break
        must = more
    assert kept_ids == must & in_files
    if policy.keep.last is not None:
        for model in {each.model_id for each in variants if each.has_files}:
            group = [each for each in variants if each.model_id == model and each.has_files]
            assert sum(each.id in kept_ids for each in group) >= min(policy.keep.last, len(group))
