from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain import webhook as rules
from planner.domain.network_address import METADATA, why_forbidden
from planner.domain.webhook import Event, EventKind, Webhook
from planner.errors import InvalidInput

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_signature_is_that_of_the_specification() -> None:
    """The example of the Standard Webhooks specification's reference implementations."""
    signature = rules.signature(
        SECRET, event_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body=b'{"test": 2432232314}'
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(body=st.binary(max_size=200), now=st.integers(0, 2**33), skew=st.integers(-300, 300))
def test_what_was_signed_verifies(body: bytes, now: int, skew: int) -> None:
    sent = rules.headers(SECRET, event_id="e1", timestamp=now, body=body)
    rules.verify(SECRET, sent, body, now=now + skew)
    other = rules.secret_of(b"x" * 24)
    with pytest.raises(InvalidInput, match="webhook-signature"):
        rules.verify(other, sent, body, now=now)
    with pytest.raises(InvalidInput, match="webhook-signature"):
        rules.verify(SECRET, sent, body + b" ", now=now)
    with pytest.raises(InvalidInput, match="webhook-signature"):
        rules.verify(SECRET, sent | {"webhook-id": "e2"}, body, now=now)
    with pytest.raises(InvalidInput, match="webhook-timestamp"):
        rules.verify(SECRET, sent, body, now=now + 301)


def test_two_signatures_are_both_tried() -> None:
    """While a secret is changed, a sender signs with both."""
    sent = rules.headers(SECRET, event_id="e1", timestamp=10, body=b"x")
    sent["webhook-signature"] = "v1,AAAA " + sent["webhook-signature"]
    rules.verify(SECRET, sent, b"x", now=10)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_!!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_QUJD"]
)
def test_what_is_no_secret(secret: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        rules.check_secret(secret)
    assert not secret or secret not in str(caught.value) or secret == "whsec_"


@pytest.mark.parametrize(
    "url",
    ["", "ftp://host/x", "http://", "http://user@host/", "http://host/#x", "http://host:0/", "http://h ost/",
     "https://host/\n", "http://[::1", "http://ho\u00dft/", "file:///etc/passwd", "http://host/" + "x" * 2000],
)  # fmt: skip
def test_what_is_no_address_for_messages(url: str) -> None:
    with pytest.raises(InvalidInput, match="url"):
        rules.check_url(url)


def test_pauses_triple_up_to_six_hours() -> None:
    assert [rules.pause_seconds(n, spread=1) for n in (1, 2, 3)] == [5, 15, 45]
    assert rules.pause_seconds(50, spread=1) == 6 * 3600
    assert rules.pause_seconds(1, spread=0) == 2.5
    total = sum(rules.pause_seconds(n, spread=1) for n in range(1, rules.MAX_ATTEMPTS))
    assert 5 * 3600 <= total <= 14 * 3600


def test_an_event_is_written_as_the_specification_names_it() -> None:
    event = Event(
        id="1", kind=EventKind.ALIAS_MOVED, at=datetime(2026, 1, 2, tzinfo=UTC), data={"alias": "prod"}
    )
    assert msgspec.json.decode(msgspec.json.encode(event)) == {
        "id": "1",
        "type": "alias.moved",
        "timestamp": "2026-01-02T00:00:00Z",
        "data": {"alias": "prod"},
    }


def test_which_events_a_webhook_wants() -> None:
    webhook = Webhook(id="w", url="https://x/", created_at=datetime(2026, 1, 2, tzinfo=UTC))
    assert webhook.wants(EventKind.GATE_FAILED)
    some = msgspec.structs.replace(webhook, events=(EventKind.ALIAS_MOVED,))
    assert (some.wants(EventKind.ALIAS_MOVED), some.wants(EventKind.GATE_FAILED)) == (True, False)
    assert not msgspec.structs.replace(webhook, active=False).wants(EventKind.ALIAS_MOVED)


@pytest.mark.parametrize(
    ("address", "loopback", "allowed"),
    [
        ("127.0.0.1", False, False),
        ("127.0.0.1", True, True),
        ("127.9.9.9", False, False),
        ("::1", False, False),
        ("::1", True, True),
        ("::ffff:127.0.0.1", False, False),
        ("::ffff:169.254.169.254", True, False),
        ("64:ff9b::a9fe:a9fe", True, False),
        ("2002:a9fe:a9fe::", True, False),
        ("::169.254.169.254", True, False),
        ("169.254.169.254", True, False),
        ("169.254.1.1", True, False),
        ("fd00:ec2::254", True, False),
        ("fe80::1%eth0", True, False),
        ("100.100.100.200", True, False),
        ("0.0.0.0", True, False),
        ("::", True, False),
        ("224.0.0.1", True, False),
        ("255.255.255.255", True, False),
        ("10.1.2.3", False, True),
        ("192.168.1.5", False, True),
        ("fd12::5", False, True),
        ("93.184.216.34", False, True),
        ("2606:2800:220:1::1", False, True),
        ("localhost", True, False),
    ],
)
def test_which_addresses_are_sent_to(address: str, loopback: bool, allowed: bool) -> None:
    assert (why_forbidden(address, loopback_allowed=loopback) is None) is allowed


@given(st.sampled_from(sorted(map(str, METADATA))), st.booleans())
def test_no_metadata_service_hides_in_another_notation(address: str, loopback: bool) -> None:
    found = ip_address(address)
    notations = [address]
    if found.version == 4:
        number = int(found)
        notations += [
            str(ip_address((0xFFFF << 32) + number + 0)),
            str(ip_address((0x64FF9B << 96) + number)),
        ]
        notations.append(str(ip_address((0x2002 << 112) + (number << 80) + 7)))
    for notation in notations:
        assert why_forbidden(notation, loopback_allowed=loopback) is not None, notation
