from __future__ import annotations

import time
import uuid

from planner.workspace.identifiers import new_id


def test_is_a_uuid_of_version_7_that_carries_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(new_id())
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before <= made.int >> 80 <= after


def test_are_unique_and_sort_by_time() -> None:
    first = new_id()
    time.sleep(0.002)
    later = [new_id() for _ in range(2000)]
    assert len({first, *later}) == 2001
    assert all(first < other for other in later)
