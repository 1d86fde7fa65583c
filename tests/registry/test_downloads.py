"""The log of downloads on both databases: what is kept, found again, counted and listed."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from planner.errors import InvalidInput
from planner.registry import downloads
from planner.wire.rows import DownloadRow


def load(make, number: int = 0, **changes) -> DownloadRow:
    row = DownloadRow(
        id=f"load-{number}",
        repository="tiny/int4",
        revision="main",
        variant_id="sha256:" + "1" * 64,
        plan_id=None,
        client="10.0.0.1",
        user_agent="hf_hub/2.4.0",
        started_at=make.now + timedelta(minutes=number),
        last_at=make.now + timedelta(minutes=number),
    )
    return msgspec.structs.replace(row, **changes)


def test_loads_are_listed_newest_first_and_by_variant(registry, make, all_pages):
    other = "sha256:" + "2" * 64
    rows = [
        load(make, number, variant_id=other if number % 2 else load(make).variant_id) for number in range(5)
    ]
    with registry.write() as tx:
        for row in rows:
            downloads.record(tx, row)
        assert all_pages(lambda **kw: downloads.page(tx, limit=2, **kw)) == rows[::-1]
        assert all_pages(lambda **kw: downloads.page(tx, variant_id=other, limit=1, **kw)) == [
            rows[3],
            rows[1],
        ]
        assert downloads.counts(tx) == {"tiny/int4": 5}


def test_the_load_that_goes_on_is_found_by_who_asks_for_what(registry, make):
    plain, planned = load(make, 1), load(make, 2, revision="plan:13B on 24GB, ≤1% loss", plan_id="plan-1")
    with registry.write() as tx:
        downloads.record(tx, plain)
        downloads.record(tx, planned)

        def found(**changes):
            asked = {
                "client": plain.client,
                "repository": plain.repository,
                "since": make.now,
            }
            return downloads.latest(tx, **(asked | changes))

        assert found() == planned
        assert found(revision=planned.revision) == planned
        assert found(revision="main") is None, "no plan decided it"
        assert found(variant_id="sha256:" + "2" * 64) is None
        assert found(program="hf_hub/2.4.0") == planned
        assert found(program="hf_hub/2.4%") is found(program="other") is None
        assert found(client="10.0.0.2") is found(repository="tiny/int8") is None
        late = make.now + timedelta(minutes=30)
        assert found(since=late) is None
        downloads.touch(tx, planned.id, now=late)
        assert found(since=late) == msgspec.structs.replace(planned, last_at=late)


def test_what_clients_call_themselves_is_kept_as_text(registry, make):
    assert downloads.program_of("transformers/5.23.0; file_type/model") == "transformers/5.23.0"
    assert downloads.agent_text("a\x00b\r\nc" + "x" * 900 + "\ud800") == "a b  c" + "x" * 494
    with registry.write() as tx:
        downloads.record(tx, load(make, user_agent=downloads.agent_text("\ud800\x00")))
    with registry.read() as tx:
        assert downloads.page(tx).items[0].user_agent == "  "


@pytest.mark.parametrize("changes", [{"revision": "a\x00b"}, {"revision": ""}, {"repository": "x" * 300}])
def test_what_cannot_be_kept_is_refused(registry, make, changes):
    with pytest.raises(InvalidInput), registry.write() as tx:
        downloads.record(tx, load(make, **changes))
