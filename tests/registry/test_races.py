"""Real threads against one database: leases, registration, aliases, revisions and readers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from planner.errors import Conflict
from planner.registry import aliases, blobs, evaluations, jobs, models, snapshot, variants
from planner.registry.aliases import ANY


def _together(*actions: Callable[[], Any]) -> list[Any]:
    """Run the actions in threads that start at once; return what each returned or raised."""
    barrier = threading.Barrier(len(actions))
    results: list[Any] = [None] * len(actions)

    def run(position: int) -> None:
        barrier.wait()
        try:
            results[position] = actions[position]()
        except Exception as error:  # noqa: BLE001 - returned to the test
            results[position] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_no_two_workers_get_the_same_job(registry, make):
    with registry.write() as tx:
        for n in range(40):
            jobs.create(tx, make.job(f"j{n:02}"))

    def work() -> list[tuple[str, int]]:
        taken: list[tuple[str, int]] = []
        while True:
            with registry.write() as tx:
                lease = jobs.lease(tx, worker="w", capabilities=frozenset(), now=make.now)
            if lease is None:
                return taken
            taken.append((lease.job.id, lease.token))

    results = _together(*[work] * 6)
    taken = [pair for result in results for pair in result]
    assert sorted(id_ for id_, _ in taken) == [f"j{n:02}" for n in range(40)]
    assert len({token for _, token in taken}) == 40
    for result in results:
        assert [token for _, token in result] == sorted(token for _, token in result)


def test_one_job_goes_to_one_of_many_workers(registry, make):
    for attempt in range(5):
        with registry.write() as tx:
            jobs.create(tx, make.job(f"j{attempt}"))

        def work() -> Any:
            with registry.write() as tx:
                return jobs.lease(tx, worker="w", capabilities=frozenset(), now=make.now)

        leases = [lease for lease in _together(*[work] * 4) if lease is not None]
        assert [lease.job.id for lease in leases] == [f"j{attempt}"]


def test_a_job_is_completed_by_one_of_two(registry, make):
    with registry.write() as tx:
        jobs.create(tx, make.job())
        lease = jobs.lease(tx, worker="w", capabilities=frozenset(), now=make.now)
        assert lease is not None

    def complete(n: int) -> Callable[[], Any]:
        def act() -> Any:
            with registry.write() as tx:
                return jobs.complete(tx, "job-1", token=lease.token, result={"n": n}, now=make.now)

        return act

    results = _together(complete(1), complete(2))
    assert sum(isinstance(result, Conflict) for result in results) == 1


def test_the_same_variant_is_created_once(stocked, make):
    variant = make.variant("int4")

    def register() -> bool:
        with stocked.write() as tx:
            return variants.register(tx, variant)[1]

    revision = stocked.revision()
    assert sorted(_together(*[register] * 6)) == [False] * 5 + [True]
    assert stocked.revision() == revision + 1


def test_the_same_blob_is_recorded_once(registry):
    def record() -> bool:
        with registry.write() as tx:
            return blobs.record(tx, "0" * 64, 5)

    assert sorted(_together(*[record] * 4)) == [False] * 3 + [True]


def _moves(stocked, make, targets, expected) -> list[Any]:
    def move(target: str) -> Callable[[], Any]:
        def act() -> Any:
            with stocked.write() as tx:
                return aliases.move(tx, "prod", target, expected=expected, actor="ci", now=make.now)

        return act

    return _together(*[move(target) for target in targets])


def test_an_alias_race_has_one_winner(stocked, make):
    with stocked.write() as tx:
        ids = [variants.register(tx, make.variant(f"v{n}"))[0].id for n in range(4)]
    expected = None
    for round_ in range(1, 4):
        results = _moves(stocked, make, ids, expected)
        won = [result for result in results if not isinstance(result, Exception)]
        lost = [result for result in results if isinstance(result, Conflict)]
        with stocked.read() as tx:
            now = aliases.get(tx, "prod")
        # From the second round on, moving to where the alias already points succeeds without a move.
        assert now in won
        assert len(won) + len(lost) == 4
        assert len({alias.number for alias in won}) <= 2
        assert now.number == round_
        expected = now.variant_id


def test_moves_that_expect_anything_all_happen(stocked, make):
    with stocked.write() as tx:
        ids = [variants.register(tx, make.variant(f"v{n}"))[0].id for n in range(4)]
    results = _moves(stocked, make, ids, ANY)
    assert sorted(alias.number for alias in results) == [1, 2, 3, 4]
    with stocked.read() as tx:
        moves = aliases.history(tx, "prod").items
    for later, earlier in pairwise(moves):
        assert later.previous_variant_id == earlier.variant_id


def test_four_writers_lose_nothing_and_readers_see_whole_transactions(stocked, make):
    start = stocked.revision()
    done = threading.Event()

    def write(writer: int) -> Callable[[], None]:
        def act() -> None:
            for n in range(10):
                with stocked.write() as tx:
                    variant, created = variants.register(tx, make.variant(f"w{writer}-{n}"))
                    assert created
                    evaluations.add(tx, make.evaluation(variant, f"e{writer}-{n}"))

        return act

    def read() -> int:
        seen = 0
        while not done.is_set() or seen == 0:
            with stocked.read() as tx:
                held = snapshot.contents(tx)
            assert len(held.variants) == len(held.evaluations) + 1 == held.revision - start + 1
            seen += 1
        return seen

    def finish() -> None:
        for result in _together(*[write(n) for n in range(4)]):
            assert result is None
        done.set()

    reader, writers = _together(read, finish)
    done.set()
    assert writers is None
    assert isinstance(reader, int)
    assert stocked.revision() == start + 40


def test_the_loss_counts_every_concurrent_evaluation(stocked, make):
    variant = make.variant()

    def add(n: int) -> Callable[[], bool]:
        def act() -> bool:
            with stocked.write() as tx:
                return evaluations.add(tx, make.evaluation(variant, f"e{n}", loss=0.01 * n))

        return act

    assert all(_together(*[add(n) for n in range(5)]))
    with stocked.read() as tx:
        (row,) = variants.page(tx).items
    assert row.loss is not None
    assert len(row.loss.evidence) == 5


def test_a_model_put_by_many_is_stored_once(registry, make):
    def put() -> bool:
        with registry.write() as tx:
            return models.put(tx, make.model())

    assert sorted(_together(*[put] * 5)) == [False] * 4 + [True]
    assert registry.revision() == 1
