from __future__ import annotations

import pytest

from planner.domain.lifecycle import MAX_REASON, LifecycleState, VariantState, check_move, check_reason
from planner.errors import Conflict, InvalidInput

S = LifecycleState


@pytest.mark.parametrize(
    ("state", "recommended", "handed_out"),
    [
        (S.ACTIVE, True, True),
        (S.DEPRECATED, True, True),
        (S.YANKED, False, True),
        (S.QUARANTINED, False, False),
        (S.DELETED, False, False),
    ],
)
def test_what_a_state_means(state: LifecycleState, recommended: bool, handed_out: bool) -> None:
    assert (state.is_recommended, state.is_handed_out) == (recommended, handed_out)


def test_which_state_may_follow_which() -> None:
    allowed = {(a, b) for a in S for b in S if _may(a, b)}
    refused = {(a, b) for a in S for b in S} - allowed
    assert refused == {
        (S.QUARANTINED, S.DEPRECATED),
        (S.DELETED, S.DEPRECATED),
        (S.DELETED, S.YANKED),
        (S.DELETED, S.QUARANTINED),
    }


def _may(before: LifecycleState, after: LifecycleState) -> bool:
    try:
        check_move(before, after)
    except Conflict:
        return False
    return True


def test_a_refused_move_names_what_is_allowed() -> None:
    with pytest.raises(Conflict, match=r"deleted cannot become yanked; allowed: active, deleted"):
        check_move(S.DELETED, S.YANKED)


@pytest.mark.parametrize("reason", ["", "  \n ", "x" * (MAX_REASON + 1)])
def test_a_reason_says_something(reason: str) -> None:
    with pytest.raises(InvalidInput, match="reason"):
        check_reason(reason)


def test_a_reason_is_one_line() -> None:
    assert check_reason("  wrong\n tokenizer ") == "wrong tokenizer"


def test_words() -> None:
    state = VariantState(
        variant_id="v", state=S.YANKED, reason="wrong tokenizer", replacement_id="sha256:ab", number=1
    )
    assert state.describe() == "yanked: wrong tokenizer; use sha256:ab instead"
    assert state.describe("int4-v2") == "yanked: wrong tokenizer; use int4-v2 instead"
    assert VariantState(variant_id="v").describe() == "active"
