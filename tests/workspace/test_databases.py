"""The whole way of a variant on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from planner.domain.job import JobKind
from planner.domain.outcome import Recommended
from planner.errors import Conflict, LeaseLost
from planner.settings import load_settings
from planner.wire.requests import JobRequest
from planner.workspace import Workspace
from tests.workspace.folders import write_llama


def test_from_registration_to_a_replayed_answer(empty_url: str, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(load_settings({}, data_dir=tmp_path / "data"), database_url=empty_url)
    with Workspace(settings) as workspace, Workspace(settings) as other:
        assert workspace.health().ok
        first = workspace.register(write_llama(tmp_path / "a"), model="tiny")
        second = other.register(write_llama(tmp_path / "b", dtype="F32"), model="tiny")
        assert (first.created, second.created, second.model_created) == (True, True, False)
        plan = workspace.recommend(query="tiny on 24GB")
        assert isinstance(plan.result, Recommended)
        assert plan.result.chosen.variant_id in {first.digest, second.digest}
        other.register(write_llama(tmp_path / "c", seed=5), model="tiny")
        assert other.replay(plan.id).identical
        workspace.move_alias("prod", first.digest, expected=None)
        with pytest.raises(Conflict):
            other.move_alias("prod", second.digest, expected=second.digest)
        spec = {"variant": {"from": "registry", "variant": first.digest}}
        job = workspace.create_job(JobRequest(kind=JobKind.MEASURE, spec=spec))
        lease = other.lease(worker="w")
        assert lease is not None
        assert lease.job.id == job.id
        with pytest.raises(LeaseLost):
            workspace.complete(job.id, token=lease.token + 1, result={})
        assert [row.id for row in other.plans().items] == [plan.id]
