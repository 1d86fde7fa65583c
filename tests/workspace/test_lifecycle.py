"""States in use: answers follow them at once, in every process, and old plans replay whatever was set since."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.domain.lifecycle import LifecycleState
from planner.domain.outcome import Infeasible, Recommended
from planner.errors import InvalidInput, NotFound
from planner.wire.lifecycle import SetState
from planner.workspace import Workspace
from tests.workspace.folders import write_llama

S = LifecycleState
MODEL = "tiny-lifecycle"
QUESTION = f"{MODEL} on 24GB"


@pytest.fixture
def pair(workspace: Workspace, tmp_path: Path) -> tuple[str, str]:
    """The ids of two builds of one model: the one that is recommended, and the other."""
    for seed in (1, 2):
        workspace.register(write_llama(tmp_path / str(seed), seed=seed), name=f"v{seed}", model=MODEL)
    ids = {workspace.variant(f"v{seed}").id for seed in (1, 2)}
    first = _chosen(workspace)
    assert first in ids
    return first, (ids - {first}).pop()


def _chosen(workspace: Workspace) -> str | None:
    result = workspace.recommend(query=QUESTION).result
    return result.chosen.variant_id if isinstance(result, Recommended) else None


def _set(
    workspace: Workspace, variant: str, state: LifecycleState, *, replacement: str | None = None
) -> None:
    workspace.set_state(variant, SetState(state=state, reason="because", replacement=replacement))


def test_answers_follow_states_at_once_in_every_process(workspace, settings, pair) -> None:
    first, other = pair
    with Workspace(settings) as beside:
        assert _chosen(beside) == first
        _set(workspace, first, S.YANKED)
        assert _chosen(beside) == _chosen(workspace) == other
        _set(beside, other, S.QUARANTINED)
        result = workspace.recommend(query=QUESTION).result
        assert isinstance(result, Infeasible)
        assert "state" in result.conflict
        _set(beside, first, S.ACTIVE)
        assert _chosen(workspace) == first


def test_plans_replay_byte_for_byte_whatever_was_set_since(workspace, pair) -> None:
    first, other = pair
    plans = [workspace.recommend(query=QUESTION)]
    for variant, state in (
        (first, S.DEPRECATED),
        (other, S.YANKED),
        (first, S.QUARANTINED),
        (other, S.ACTIVE),
    ):
        _set(workspace, variant, state)
        plans.append(workspace.recommend(query=QUESTION))
    outcomes = [
        each.result.chosen.variant_id if isinstance(each.result, Recommended) else None for each in plans
    ]
    assert outcomes == [first, other, first, None, other]
    assert all(workspace.replay(each.id).identical for each in plans)


def test_names_are_resolved_and_a_replacement_is_too(workspace, pair) -> None:
    first, other = pair
    workspace.move_alias("old", first)
    _set(workspace, "old", S.DEPRECATED, replacement=other[7:25])
    state = workspace.state(first).current
    assert (state.variant_id, state.replacement_id, state.actor) == (first, other, "unnamed")
    with pytest.raises(NotFound):
        _set(workspace, "absent", S.YANKED)
    with pytest.raises(NotFound):
        _set(workspace, first, S.YANKED, replacement="absent")
    with pytest.raises(InvalidInput, match="not set by hand"):
        _set(workspace, first, S.DELETED)


def test_a_published_variant_can_be_put_in_a_state_too(workspace) -> None:
    published = next(
        row.variant for row in workspace.variants(limit=200).items if not row.variant.is_fetchable
    )
    _set(workspace, published.id, S.YANKED)
    why = workspace.why(published.id, query=f"{published.model_id} on 80GB")
    assert why.elimination is not None
    assert (why.elimination.key, why.elimination.reason) == ("state", "yanked: because")
