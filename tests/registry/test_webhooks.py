"""The outbox: written with the change or not at all, claimed by one, due again when a claim runs out."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from planner.domain.webhook import MAX_ATTEMPTS, DeliveryState, EventKind, Outcome, Webhook
from planner.errors import InvalidInput, NotFound
from planner.registry import Registry, aliases, evaluations, events, profiles, variants, webhooks
from planner.registry.webhooks import LEASE_SECONDS, Claimed
from tests.registry.conftest import Make

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LATER = datetime(2100, 1, 1, tzinfo=UTC)


def add(registry: Registry, id_: str = "w1", *kinds: EventKind) -> Webhook:
    webhook = Webhook(id=id_, url=f"https://example.org/{id_}", events=kinds, created_at=NOW)
    with registry.write() as tx:
        webhooks.add(tx, webhook, secret=SECRET)
    return webhook


def claim(registry: Registry, now: datetime = LATER, limit: int = 10) -> tuple[Claimed, ...]:
    with registry.write() as tx:
        return webhooks.claim(tx, now=now, limit=limit)


def settle(registry: Registry, done: Claimed, outcome: Outcome, now: datetime = LATER) -> bool:
    with registry.write() as tx:
        return webhooks.settle(tx, done, outcome, spread=1.0, now=now)


def kinds_of(registry: Registry) -> list[str]:
    with registry.read() as tx:
        return [each.kind.value for each in webhooks.deliveries(tx, "w1", limit=100).items][::-1]


def test_every_change_is_told_once(stocked: Registry, make: Make) -> None:
    add(stocked)
    other = make.variant("fp8")
    for _ in range(2):
        with stocked.write() as tx:
            variants.register(tx, other)
            profiles.add(tx, make.profile(other))
            evaluations.add(tx, make.evaluation(other))
            aliases.move(tx, "prod", other.id, expected=aliases.ANY, actor="ci", now=NOW)
    assert kinds_of(stocked) == ["variant.registered", "evidence.added", "evidence.added", "alias.moved"]
    told = [each.event.data for each in claim(stocked)]
    assert told[0]["variant"] == other.id
    assert {each["kind"] for each in told[1:3]} == {"profile", "evaluation"}
    assert told[3] == {
        "alias": "prod", "variant": other.id, "previous_variant": None, "number": 1, "actor": "ci"
    }  # fmt: skip


def test_nothing_is_told_of_what_was_rolled_back(stocked: Registry, make: Make) -> None:
    add(stocked)

    def change_and_fail() -> None:
        with stocked.write() as tx:
            variants.register(tx, make.variant("fp8"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_and_fail()
    assert kinds_of(stocked) == []
    with stocked.read() as tx:
        kept = events.since(tx, datetime(2000, 1, 1, tzinfo=UTC), limit=100)
    assert [event.data["name"] for event in kept] == ["int8"]


def test_only_what_was_asked_for(stocked: Registry, make: Make) -> None:
    add(stocked, "w1", EventKind.ALIAS_MOVED)
    with stocked.write() as tx:
        variants.register(tx, make.variant("fp8"))
        aliases.move(tx, "prod", make.variant("fp8").id, expected=None, actor="ci", now=NOW)
    assert kinds_of(stocked) == ["alias.moved"]


def emit(registry: Registry, count: int = 1) -> None:
    with registry.write() as tx:
        for number in range(count):
            events.emit(tx, EventKind.GATE_FAILED, {"number": number})


def test_a_claim_is_one_processs_until_it_runs_out(registry: Registry) -> None:
    add(registry)
    emit(registry)
    (first,) = claim(registry)
    assert claim(registry) == ()
    (second,) = claim(registry, LATER + timedelta(seconds=LEASE_SECONDS))
    assert (second.attempts, second.event) == (2, first.event)
    assert not settle(registry, first, Outcome(status=200)), "the first claim has run out"
    assert settle(registry, second, Outcome(status=204))
    with registry.read() as tx:
        done = webhooks.delivery(tx, "w1", first.event.id)
    assert (done.state, done.status, done.attempts) == (DeliveryState.DELIVERED, 204, 2)


def test_many_processes_share_the_work(registry: Registry) -> None:
    add(registry)
    emit(registry, 40)
    taken: list[Claimed] = []
    guard = threading.Lock()

    def work() -> None:
        while mine := claim(registry, limit=3):
            with guard:
                taken.extend(mine)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len({each.event.id for each in taken}) == 40


def test_failures_are_tried_again_later_and_given_up_in_the_end(registry: Registry) -> None:
    add(registry)
    emit(registry)
    now, attempts = LATER, 0
    while mine := claim(registry, now):
        attempts += 1
        settle(registry, mine[0], Outcome(problem="refused"), now)
        with registry.read() as tx:
            state = webhooks.delivery(tx, "w1", mine[0].event.id)
        assert state.problem == "refused"
        if state.next_at is None:
            break
        assert not claim(registry, state.next_at - timedelta(milliseconds=1))
        now = state.next_at
    assert attempts == MAX_ATTEMPTS
    assert state.state is DeliveryState.DEAD
    with registry.write() as tx:
        assert webhooks.send_again(tx, "w1", [state.event_id], now=now) == 1
    (again,) = claim(registry, now)
    assert (again.attempts, again.event.id) == (1, state.event_id)


def test_a_receiver_that_kills_every_sender_is_given_up(registry: Registry) -> None:
    add(registry)
    emit(registry)
    now = LATER
    for _ in range(MAX_ATTEMPTS):
        assert claim(registry, now)
        now += timedelta(seconds=LEASE_SECONDS)
    assert claim(registry, now) == ()
    with registry.read() as tx:
        (left,) = webhooks.deliveries(tx, "w1").items
    assert (left.state, left.problem) == (DeliveryState.DEAD, "the last attempt was cut short")


def test_gone_is_heeded(registry: Registry) -> None:
    add(registry)
    emit(registry, 2)
    first, _ = claim(registry)
    settle(registry, first, Outcome(status=410))
    with registry.read() as tx:
        webhook = webhooks.get(tx, "w1")
    assert (webhook.active, webhook.inactive_because) == (False, "the receiver answered 410 Gone")
    assert claim(registry, LATER + timedelta(days=1)) == (), "nothing is sent to what is not active"
    emit(registry)
    assert len(kinds_of(registry)) == 2


def test_replaying_reaches_webhooks_made_later(registry: Registry) -> None:
    emit(registry, 3)
    add(registry)
    assert claim(registry) == ()
    with registry.write() as tx:
        found = events.since(tx, NOW, limit=10)
        webhooks.send_again(tx, "w1", [event.id for event in found], now=NOW)
    assert [each.event.data["number"] for each in claim(registry)] == [0, 1, 2]


def test_old_events_are_forgotten_unless_they_are_still_due(registry: Registry) -> None:
    add(registry)
    emit(registry, 3)
    done = claim(registry, limit=2)
    for each in done:
        settle(registry, each, Outcome(status=200))
    with registry.write() as tx:
        assert events.prune(tx, datetime(2000, 1, 1, tzinfo=UTC)) == 0
        assert events.prune(tx, LATER) == 2
    assert len(kinds_of(registry)) == 1


def test_pages_secrets_and_removal(registry: Registry) -> None:
    for number in range(3):
        add(registry, f"w{number + 1}")
    emit(registry, 5)
    with registry.read() as tx:
        first = webhooks.page(tx, limit=2)
        rest = webhooks.page(tx, limit=2, cursor=first.next_cursor)
        assert [each.id for each in (*first.items, *rest.items)] == ["w1", "w2", "w3"]
        assert b"whsec" not in repr(first).encode()
        half = webhooks.deliveries(tx, "w1", limit=3)
        more = webhooks.deliveries(tx, "w1", limit=3, cursor=half.next_cursor)
        assert len({each.event_id for each in (*half.items, *more.items)}) == 5
        assert webhooks.deliveries(tx, "w1", state=DeliveryState.DEAD).items == ()
        with pytest.raises(NotFound):
            webhooks.deliveries(tx, "nothing")
    with registry.write() as tx:
        webhooks.remove(tx, "w1")
        with pytest.raises(NotFound):
            webhooks.get(tx, "w1")
    assert {each.webhook.id for each in claim(registry, limit=100)} == {"w2", "w3"}


def test_what_is_refused(registry: Registry) -> None:
    bad = Webhook(id="w", url="ftp://x/", created_at=NOW)
    tests = Webhook(id="w", url="http://x/", events=(EventKind.WEBHOOK_TEST,), created_at=NOW)
    with registry.write() as tx:
        with pytest.raises(InvalidInput, match="url"):
            webhooks.add(tx, bad, secret=SECRET)
        with pytest.raises(InvalidInput, match="secret"):
            webhooks.add(tx, Webhook(id="w", url="http://x/", created_at=NOW), secret="password")
        with pytest.raises(InvalidInput, match="events"):
            webhooks.add(tx, tests, secret=SECRET)
