from datetime import timedelta

import msgspec
import pytest

from planner.choose.index import Index
from planner.choose.planner import plan, why
from planner.deploy.checking import LockStatus, check_lock, gone
from planner.deploy.lock import Lock
from planner.deploy.locking import make_lock
from planner.domain.figure import Basis, exact
from planner.domain.outcome import Recommended
from planner.domain.scenario import Hardware, Objective
from planner.domain.units import GIB, Unit
from planner.domain.variant import Variant
from tests.deploy.records import BF16, FP8_CACHE, GPU, MODEL, NOW, lock_of, plan_of

SMALLER = msgspec.structs.replace(FP8_CACHE, name="smaller")


def judged(lock: Lock, index: Index, *, now=NOW):
    candidate, elimination = why(lock.scenario, index, lock.variant.id, now=now)
    outcome = plan(lock.scenario, index, now=now)
    chosen = outcome.chosen if isinstance(outcome, Recommended) else None
    return check_lock(lock, candidate, elimination, chosen, revision=index.revision)


def index_with(*variants: Variant, device=GPU, revision=8) -> Index:
    return Index.build(models=(MODEL,), variants=variants, devices=(device,), revision=revision)


def test_nothing_changed():
    check = judged(lock_of(BF16), index_with(BF16))
    assert check.status is LockStatus.FEASIBLE
    assert (check.changes, check.stale, check.better, check.failed) == ((), (), None, None)
    assert (check.locked_revision, check.revision) == (7, 8)


def test_a_better_variant_is_named_with_what_it_is_better_by():
    made = plan_of(BF16)
    smallest = msgspec.structs.replace(made.scenario, objective=Objective.SMALLEST)
    lock = make_lock(msgspec.structs.replace(made, scenario=smallest), BF16, MODEL, GPU)
    check = judged(lock, index_with(BF16, SMALLER))
    assert check.status is LockStatus.BETTER
    assert check.better is not None
    assert check.better.variant_id == SMALLER.id
    assert check.better.reason
    weights = next(change for change in check.better.against if change.key == "memory.weights")
    assert weights.difference is not None
    assert weights.difference.startswith("-")
    assert check.changes == ()


def test_less_memory_makes_it_infeasible_and_says_by_what():
    poorer = msgspec.structs.replace(GPU, memory_bytes=12 * GIB, usable_bytes=11 * GIB)
    check = judged(lock_of(BF16), index_with(BF16, device=poorer))
    assert check.status is LockStatus.INFEASIBLE
    assert check.failed is not None
    assert check.failed.key == "memory"
    changes = {change.key: change for change in check.changes}
    assert changes["memory.capacity"].difference == "-86.1 %"
    assert changes["memory.capacity"].before == "79 GiB published"
    verdict = next(change for key, change in changes.items() if key.startswith("verdict on fits"))
    assert (verdict.before, verdict.after) == ("met", "violated")


def test_weaker_evidence_is_stale_even_though_it_is_still_feasible():
    guessed = msgspec.structs.replace(
        BF16, weight_bytes=msgspec.structs.replace(BF16.weight_bytes, basis=Basis.MODELLED)
    )
    check = judged(lock_of(BF16), index_with(guessed))
    assert check.status is LockStatus.STALE
    assert any("only modelled now" in reason for reason in check.stale)


def test_a_figure_that_is_not_known_any_more_is_stale():
    lock = lock_of(BF16, hardware=Hardware(memory_bytes=80 * GIB))  # no device, so no speed
    known = msgspec.structs.replace(
        lock.figures[0], key="tpot", value=0.01, unit=Unit.SECONDS, basis=Basis.MEASURED
    )
    check = judged(msgspec.structs.replace(lock, figures=(*lock.figures, known)), index_with(BF16))
    assert check.status is LockStatus.STALE
    assert "tpot was 10 ms measured and is not known any more" in check.stale


def test_evidence_that_grew_old_is_stale():
    lock = lock_of(BF16)
    candidate, elimination = why(lock.scenario, index_with(BF16), BF16.id, now=NOW + timedelta(days=400))
    old = msgspec.structs.replace(candidate.memory.total, note="stale: measured more than a year before")
    aged = msgspec.structs.replace(candidate, memory=msgspec.structs.replace(candidate.memory, total=old))
    check = check_lock(lock, aged, elimination, aged, revision=9)
    assert check.status is LockStatus.STALE
    assert check.stale == ("memory.total: its evidence is stale by now",)


def test_evidence_that_came_or_went_and_new_flags_are_changes():
    lock = lock_of(BF16)
    assert lock.runtime is not None
    other = msgspec.structs.replace(
        lock, evidence=("gone-1",), runtime=msgspec.structs.replace(lock.runtime, version="0.1")
    )
    cited = msgspec.structs.replace(
        BF16,
        weight_bytes=exact(BF16.weight_bytes.value, Unit.BYTES, basis=Basis.MEASURED, evidence=("new-1",)),
    )
    changes = judged(other, index_with(cited)).changes
    assert [
        (c.before, c.after) for c in changes if c.key == "evidence" and "-1" in f"{c.before}{c.after}"
    ] == [
        ("gone-1", None),
        (None, "new-1"),
    ]
    assert [(c.key, c.before) for c in changes][-1] == ("flags of vllm", "0.1")


@pytest.mark.parametrize("hardware", [None, Hardware(memory_bytes=80 * GIB)])
def test_locks_without_a_device_are_judged_too(hardware):
    assert judged(lock_of(BF16, hardware=hardware), index_with(BF16)).status is LockStatus.FEASIBLE


def test_a_variant_that_is_gone():
    check = gone(lock_of(BF16), revision=9)
    assert check.status is LockStatus.GONE
    assert check.revision == 9
