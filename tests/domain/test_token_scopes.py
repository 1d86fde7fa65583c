from __future__ import annotations

import re
import string
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.identity import (
    ALPHABET,
    IMPLIED,
    SECRET_LENGTH,
    SHOWN,
    TOKEN_PREFIX,
    Principal,
    Token,
    TokenScope,
    TokenState,
    bearer,
    check_resource,
    is_token,
    matches,
    parse_scopes,
    token_digest,
)
from planner.errors import InvalidInput

ALNUM = string.ascii_letters + string.digits
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def principal(*scopes: TokenScope, resources: tuple[str, ...] = ()) -> Principal:
    return Principal(name="x", token_id="t", scopes=frozenset(scopes), resources=resources)


def test_the_form_suits_every_client():
    assert set(ALPHABET) == set(ALNUM)
    assert SECRET_LENGTH >= 34  # llama.cpp sends no shorter one
    assert len(TOKEN_PREFIX) + SECRET_LENGTH >= 37
    assert SHOWN < 12


@given(st.text(alphabet=ALNUM, min_size=34, max_size=128))
def test_tokens_are_recognised(secret):
    token = TOKEN_PREFIX + secret
    assert is_token(token)
    assert bearer(f"Bearer {token}") == token
    assert bearer(f"bEARER   {token}  ") == token
    assert re.fullmatch(r"[0-9a-f]{64}", token_digest(token))


@given(st.text(max_size=200))
def test_whatever_is_sent_is_read_without_an_error(text):
    found = bearer(text)
    assert found is None or text.lower().startswith("bearer ")
    if is_token(text):
        assert text.isascii()
        assert text[:3] == "hf_"
        assert text[3:].isalnum()
        assert 37 <= len(text) <= 131


@pytest.mark.parametrize(
    "text",
    ["", "hf_", "hf_" + "a" * 33, "hf_" + "a" * 129, "HF_" + "a" * 40, "hf_" + "é" * 40, "hf_" + "a" * 40 + "\n", "hf_" + "a" * 20 + "-" * 20],
)  # fmt: skip
def test_what_is_no_token(text):
    assert not is_token(text)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic eDp5", "hf_" + "a" * 40])
def test_headers_without_a_bearer_token(header):
    assert bearer(header) is None


def test_scopes_stand_side_by_side():
    for scope in TokenScope:
        assert principal(scope).may(TokenScope.READ)
        assert principal(TokenScope.ADMIN).may(scope)
    side_by_side = [TokenScope.REGISTER, TokenScope.MEASURE, TokenScope.PROMOTE]
    for held in side_by_side:
        for needed in {*side_by_side, TokenScope.ADMIN} - {held}:
            assert not principal(held).may(needed)
    assert not principal(TokenScope.READ).may(TokenScope.REGISTER)
    assert not principal().may(TokenScope.READ)
    assert set(IMPLIED) == set(TokenScope)


@given(st.sets(st.sampled_from(list(TokenScope)), min_size=1))
def test_scopes_are_read_in_any_order(scopes):
    read = parse_scopes([scope.value for scope in scopes])
    assert set(read) == scopes
    assert list(read) == [scope for scope in TokenScope if scope in scopes]


@pytest.mark.parametrize("names", [[], ["write"], ["read", "root"], ["READ"]])
def test_unknown_scopes_are_named(names):
    with pytest.raises(InvalidInput, match="scopes"):
        parse_scopes(names)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("acme/*", "acme/models", True),
        ("acme/*", "acme/", True),
        ("acme/*", "acme/a/b", False),
        ("acme/**", "acme/a/b", True),
        ("acme*", "acme-evil", True),
        ("acme*", "acme-evil/x", False),
        ("acme/m.dels", "acme/models", False),
        ("acme/[a]", "acme/a", False),
        ("acme/models", "acme/models\n", False),
        ("acme/models", "ACME/models", False),
        ("**", "a\nb/c", True),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_patterns(pattern, text, expected):
    assert matches(pattern, text) is expected


@given(st.text(max_size=30))
def test_a_pattern_without_stars_is_the_text_itself(text):
    plain = text.replace("*", "")
    assert matches(plain, plain)
    assert not matches(plain, plain + "x")


def test_confines():
    assert principal(TokenScope.REGISTER).may_write_to("any/thing")
    confined = principal(TokenScope.REGISTER, resources=("llama/*", "qwen/int4"))
    assert confined.may_write_to("llama/int8")
    assert confined.may_write_to("qwen/int4")
    assert not confined.may_write_to("qwen/int8")
    assert not confined.may_write_to("llama/int8/x")


@pytest.mark.parametrize(
    "name", ["", "x", "a/b/c", "/a", "a/", "a b/c", "datasets/a/b", "../x", "x/..", "a/b\n", "é/b"]
)
def test_what_is_no_repository(name):
    with pytest.raises(InvalidInput, match="resource"):
        check_resource(name)


def test_the_state_of_a_token():
    token = Token(
        id="1", label="x", shown="hf_abcde", scopes=(TokenScope.READ,), created_at=NOW, created_by="x",
        expires_at=NOW + timedelta(hours=1),
    )  # fmt: skip
    assert token.state(NOW) is TokenState.ACTIVE
    assert token.state(NOW + timedelta(hours=1)) is TokenState.EXPIRED
    import msgspec

    assert msgspec.structs.replace(token, revoked_at=NOW).state(NOW) is TokenState.REVOKED
