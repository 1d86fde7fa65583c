from __future__ import annotations

import multiprocessing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.artifacts.signed_url import SECRET_BYTES, GrantRefused, Signer, read_secret
from planner.errors import Unavailable
from planner.wire.grant import Grant

GRANT = Grant(
    method="PUT",
    repository="acme/model",
    sha256="a" * 64,
    size=100,
    expires=1_000,
    session="b" * 32,
    part=2,
    start=50,
    length=50,
)
SIGNER = Signer(b"s" * SECRET_BYTES)


def test_a_grant_comes_out_as_it_went_in() -> None:
    assert SIGNER.open(SIGNER.seal(GRANT), method="PUT", now=999.9) == GRANT


@pytest.mark.parametrize(
    ("method", "now", "said"), [("POST", 0.0, "is for PUT"), ("PUT", 1_000.0, "has expired")]
)
def test_a_grant_holds_for_its_method_and_time(method: str, now: float, said: str) -> None:
    with pytest.raises(GrantRefused, match=said):
        SIGNER.open(SIGNER.seal(GRANT), method=method, now=now)


@given(st.integers(0, 400), st.characters(codec="ascii"))
def test_no_character_of_an_address_can_be_changed(place: int, character: str) -> None:
    token = SIGNER.seal(GRANT)
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    if changed == token:
        return
    try:
        opened = SIGNER.open(changed, method="PUT", now=0)
    except GrantRefused:
        return
    # Base64 leaves some bits of its last character unused.
    assert opened == GRANT
    assert place in {len(token) - 1, token.index(".") - 1}


@given(st.text(max_size=200))
def test_no_text_is_taken_for_an_address(text: str) -> None:
    with pytest.raises(GrantRefused):
        SIGNER.open(text, method="PUT", now=0)


def test_another_server_gives_out_other_addresses_and_receipts() -> None:
    other = Signer(b"t" * SECRET_BYTES)
    with pytest.raises(GrantRefused, match="was not given out by this server"):
        other.open(SIGNER.seal(GRANT), method="PUT", now=0)
    assert not other.is_receipt(SIGNER.receipt(GRANT), session=GRANT.session, part=GRANT.part)


def test_a_receipt_is_of_one_part() -> None:
    receipt = SIGNER.receipt(GRANT)
    assert SIGNER.is_receipt(f'"{receipt}"', session=GRANT.session, part=2)
    assert not SIGNER.is_receipt(receipt, session=GRANT.session, part=3)
    assert not SIGNER.is_receipt(receipt, session="c" * 32, part=2)
    assert not SIGNER.is_receipt("ü", session=GRANT.session, part=2)
    assert receipt not in SIGNER.seal(msgspec.structs.replace(GRANT, part=2))


def test_the_secret_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "upload-secret"
    secret = read_secret(path)
    assert len(secret) == SECRET_BYTES
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_secret(path) == secret
    assert [each.name for each in path.parent.iterdir()] == ["upload-secret"]
    path.chmod(0o644)
    read_secret(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_processes_that_start_together_have_one_secret(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        secrets = pool.map(read_secret, [tmp_path / "upload-secret"] * 16, chunksize=1)
    assert len(set(secrets)) == 1


def test_a_damaged_secret_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "upload-secret").write_bytes(b"short")
    with pytest.raises(Unavailable, match="holds no secret"):
        read_secret(tmp_path / "upload-secret")
