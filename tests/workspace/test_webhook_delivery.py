"""Delivering for real: to a receiver on a socket, from this process and from a server that is killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from planner.client import Client
from planner.domain.webhook import DeliveryState, Event, EventKind, verify
from planner.errors import InvalidInput, NotFound
from planner.registry import events
from planner.registry.webhooks import LEASE_SECONDS
from planner.settings import Settings, load_settings
from planner.wire.webhooks import NewWebhook, ReplayRequest
from planner.workspace import Workspace, webhook_sending
from planner.workspace.webhook_delivery import Courier
from tests.api.process import running_server
from tests.workspace.folders import write_llama


class Receiver(ThreadingHTTPServer):
    """Keeps what it gets and answers as it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.answers: Callable[[int], int] = lambda _: 204
        self.location: str | None = None
        self.pause = 0.0
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook?x=1"

    def kinds(self) -> list[str]:
        return [msgspec.json.decode(body)["type"] for _, body in self.received]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Receiver)
        body = self.rfile.read(int(self.headers["content-length"]))
        server.received.append(({k.lower(): v for k, v in self.headers.items()} | {":path": self.path}, body))
        time.sleep(server.pause)
        self.send_response(server.answers(len(server.received)))
        if server.location:
            self.send_header("location", server.location)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def workspace(data_dir: Path) -> Iterator[Workspace]:
    settings = load_settings({"PLANNER_WEBHOOK_LOOPBACK": "1"}, data_dir=data_dir)
    with Workspace(settings) as opened:
        yield opened


def emit(workspace: Workspace, count: int = 1) -> list[Event]:
    with workspace.registry.write() as tx:
        return [events.emit(tx, EventKind.GATE_PASSED, {"number": n}) for n in range(count)]


def wait_until(true: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def test_messages_are_signed_as_promised(workspace: Workspace, receiver: Receiver) -> None:
    made = workspace.add_webhook(NewWebhook(url=receiver.url))
    sent = emit(workspace, 12)
    assert Courier(workspace).deliver_due() == 12
    assert len(receiver.received) == 12
    for headers, body in receiver.received:
        verify(made.secret, headers, body, now=time.time())
        assert headers["content-type"] == "application/json"
        assert headers["host"].startswith("127.0.0.1:")
        assert headers[":path"] == "/hook?x=1"
    assert {headers["webhook-id"] for headers, _ in receiver.received} == {event.id for event in sent}
    states = workspace.webhook_deliveries(made.webhook.id).items
    assert {(each.state, each.status, each.attempts) for each in states} == {
        (DeliveryState.DELIVERED, 204, 1)
    }
    assert Courier(workspace).deliver_due() == 0


def test_what_fails_waits_and_is_tried_again(workspace: Workspace, receiver: Receiver) -> None:
    made = workspace.add_webhook(NewWebhook(url=receiver.url))
    (event,) = emit(workspace)
    receiver.answers = lambda count: 500 if count == 1 else 200
    courier = Courier(workspace)
    assert courier.deliver_due() == 1
    (state,) = workspace.webhook_deliveries(made.webhook.id).items
    assert (state.state, state.status, state.problem) == (DeliveryState.PENDING, 500, "answered 500")
    assert state.next_at is not None
    assert 2 <= (state.next_at - datetime.now(UTC)).total_seconds() <= 5
    assert courier.deliver_due() == 0
    assert workspace.replay_webhook(made.webhook.id, ReplayRequest(event_id=event.id)).count == 1
    assert courier.deliver_due() == 1
    first, second = (body for _, body in receiver.received)
    assert first == second, "a repetition is the same message"
    (state,) = workspace.webhook_deliveries(made.webhook.id, state=DeliveryState.DELIVERED).items
    assert state.problem is None


def test_redirects_are_not_followed(workspace: Workspace, receiver: Receiver) -> None:
    made = workspace.add_webhook(NewWebhook(url=receiver.url))
    receiver.answers, receiver.location = lambda _: 302, receiver.url
    done = workspace.test_webhook(made.webhook.id)
    assert (done.state, done.problem) == (DeliveryState.DEAD, "answered 302: redirects are not followed")
    assert len(receiver.received) == 1


def test_silence_is_given_up(
    workspace: Workspace, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_sending, "ATTEMPT_SECONDS", 0.3)
    made = workspace.add_webhook(NewWebhook(url=receiver.url))
    receiver.pause = 1.0
    done = workspace.test_webhook(made.webhook.id)
    assert done.problem is not None
    assert "no answer within" in done.problem or "Timeout" in done.problem


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "127.1"]
)
def test_this_machine_is_not_reached_unless_allowed(
    settings: Settings, receiver: Receiver, host: str
) -> None:
    with Workspace(settings) as closed:
        port = receiver.server_address[1]
        made = closed.add_webhook(NewWebhook(url=f"http://{host}:{port}/"))
        done = closed.test_webhook(made.webhook.id)
    assert done.state is DeliveryState.DEAD
    assert done.problem is not None
    assert "is this machine" in done.problem
    assert receiver.received == []


def test_a_name_that_leads_to_a_metadata_service(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolved(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "169.254.169.254"]

    monkeypatch.setattr(webhook_sending, "_addresses", resolved)
    made = workspace.add_webhook(NewWebhook(url="http://innocent.example/"))
    done = workspace.test_webhook(made.webhook.id)
    assert done.problem == (
        "not sent: innocent.example has the address 169.254.169.254, which is a cloud's metadata service"
    )


def test_replaying_since_a_moment(workspace: Workspace, receiver: Receiver) -> None:
    began = workspace.now()
    emit(workspace, 3)
    wanted = NewWebhook(url=receiver.url, events=(EventKind.ALIAS_MOVED,))
    made, some = workspace.add_webhook(NewWebhook(url=receiver.url)), workspace.add_webhook(wanted)
    assert workspace.replay_webhook(made.webhook.id, ReplayRequest(since=began)).count == 3
    assert workspace.replay_webhook(some.webhook.id, ReplayRequest(since=began)).count == 0
    for request in (ReplayRequest(), ReplayRequest(event_id="x", since=began)):
        with pytest.raises(InvalidInput):
            workspace.replay_webhook(made.webhook.id, request)
    with pytest.raises(NotFound):
        workspace.replay_webhook(made.webhook.id, ReplayRequest(event_id="nothing"))


def test_paused_and_resumed(workspace: Workspace, receiver: Receiver) -> None:
    made = workspace.add_webhook(NewWebhook(url=receiver.url))
    emit(workspace)
    assert not workspace.set_webhook_active(made.webhook.id, active=False).active
    emit(workspace)
    courier = Courier(workspace)
    assert courier.deliver_due() == 0
    assert workspace.set_webhook_active(made.webhook.id, active=True).inactive_because is None
    assert courier.deliver_due() == 1


def test_a_server_that_is_killed_delivers_when_it_is_back(
    data_dir: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """At least once: an attempt that the kill cut short is made again, under the same id."""
    environ = {"PLANNER_WEBHOOK_LOOPBACK": "1"}
    receiver.answers = lambda _: 503
    with running_server(data_dir, environ) as server, Client(server.url) as client:
        made = client.add_webhook(NewWebhook(url=receiver.url))
        done = client.register(write_llama(tmp_path / "tiny"), model="tiny")
        client.move_alias("prod", done.digest)
        wait_until(lambda: set(receiver.kinds()) == {"variant.registered", "alias.moved"})
        server.kill()
    receiver.answers = lambda _: 204
    before = len(receiver.received)
    with running_server(data_dir, environ) as server, Client(server.url) as client:
        # What was under way when the server died is claimed again when its lease has run out.
        wait_until(lambda: len(receiver.received) >= before + 2, seconds=LEASE_SECONDS + 30)
        wait_until(
            lambda: len(client.webhook_deliveries(made.webhook.id, state=DeliveryState.DELIVERED).items) == 2
        )
        listed = client.webhooks().items
        assert [each.id for each in listed] == [made.webhook.id]
        assert client.test_webhook(made.webhook.id).status == 204
        assert client.replay_webhook(made.webhook.id, ReplayRequest(since=listed[0].created_at)).count == 2
        client.set_webhook_active(made.webhook.id, active=False)
        client.remove_webhook(made.webhook.id)
        assert client.webhooks().items == ()
    for headers, body in receiver.received:
        verify(made.secret, headers, body, now=time.time())
        assert headers["webhook-id"] == msgspec.json.decode(body)["id"]


def test_two_servers_do_not_send_twice(data_dir: Path, receiver: Receiver) -> None:
    environ = {"PLANNER_WEBHOOK_LOOPBACK": "1"}
    with running_server(data_dir, environ) as one, running_server(data_dir, environ) as two:
        with Client(one.url) as client:
            client.add_webhook(NewWebhook(url=receiver.url))
        with Workspace(load_settings({}, data_dir=data_dir)) as workspace:
            emit(workspace, 30)
        wait_until(lambda: len(receiver.received) >= 30)
        time.sleep(1.5)
        assert one.terminate() == two.terminate() == 0
    assert len(receiver.received) == len({headers["webhook-id"] for headers, _ in receiver.received}) == 30
