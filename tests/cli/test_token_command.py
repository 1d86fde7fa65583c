"""`planner token`: the first token is made beside the data, later ones over HTTP; and where clients show theirs."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from planner.cli.main import main
from planner.cli.verbs.token import parse_lifetime
from planner.client import AsyncClient, Client, calls
from planner.client.credentials import authorization
from planner.errors import InvalidInput, NotAuthenticated
from tests.api.process import running_server
from tests.workspace.fixtures import data_template

__all__ = ["data_template"]


def test_from_the_first_token_to_the_last(
    data_template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = Path(shutil.copytree(data_template, tmp_path / "data"))
    monkeypatch.delenv("PLANNER_TOKEN", raising=False)

    def planner(*arguments: str) -> tuple[int, str, str]:
        status = main(list(arguments))
        said = capsys.readouterr()
        return status, said.out, said.err

    status, out, err = planner("token", "create", "root", "--scope", "admin", "--data-dir", str(data_dir))
    secret = out.strip()
    assert (status, bool(re.fullmatch(r"hf_[A-Za-z0-9]{40}", secret))) == (0, True)
    assert "not shown again" in err  # so that `TOKEN=$(planner token create …)` holds the secret alone
    assert secret not in err
    with running_server(data_dir, {"PLANNER_AUTH": "all"}) as server:
        there = ("--server", server.url)
        status, _, err = planner("token", "list", *there)
        assert (status, "not-authenticated" in err) == (1, True)
        monkeypatch.setenv("PLANNER_TOKEN", secret)
        status, out, _ = planner(
            "token",
            "create",
            "ci",
            "--scope",
            "register",
            "--repository",
            "tiny/*",
            "--expires",
            "12h",
            "--json",
            *there,
        )
        made = json.loads(out)
        assert (status, made["token"]["created_by"], made["token"]["resources"]) == (0, "root", ["tiny/*"])
        status, out, _ = planner("token", "list", "--json", *there)
        assert [each["label"] for each in json.loads(out)["items"]] == ["ci", "root"]
        assert made["secret"] not in out
        assert planner("token", "revoke", made["token"]["shown"], *there)[0] == 0
        with Client(server.url, token=made["secret"]) as client, pytest.raises(NotAuthenticated):
            client.models()
        status, out, _ = planner("token", "list", *there)
        assert "revoked" in out
        assert "last used" in out
        for arguments in (
            ("create", "x", "--scope", "read", "--expires", "soon"),
            ("create", " ", "--scope", "read"),
            ("create", "x", "--scope", "read", "--repository", "a"),
            ("create", "x"),
            ("revoke", "nobody"),
        ):
            assert planner("token", *arguments, *there)[0] == 2, arguments

        async def ask() -> int:
            async with AsyncClient(server.url) as client:  # the variable's token
                return len((await client.send(calls.models(limit=1))).items)

        assert asyncio.run(ask()) == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90d", 7_776_000), ("12h", 43_200), ("5m", 300), ("1w", 604_800), ("9s", 9), ("never", None)],
)
def test_lifetimes(text, seconds):
    assert parse_lifetime(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "1.5h", "1y", "٣d", "99999999999d"])
def test_lifetimes_that_are_none(text):
    with pytest.raises(InvalidInput, match="--expires"):
        parse_lifetime(text)


def test_a_token_that_no_header_can_carry_is_not_repeated(monkeypatch):
    for text in ("hf_ü", "two words", "x\ny", "a" * 5_000):
        with pytest.raises(InvalidInput) as caught:
            authorization(text)
        assert text not in str(caught.value)
    assert authorization("") == {}
    monkeypatch.setenv("PLANNER_TOKEN", " hf_abc\n")
    assert authorization(None) == {"Authorization": "Bearer hf_abc"}
    assert authorization("") == {}
    monkeypatch.setenv("PLANNER_TOKEN", "")
    monkeypatch.setenv("HF_TOKEN", "hf_of_another_hub")
    assert authorization(None) == {}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_takes_the_token_nowhere(status):
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(status, headers={"Location": "http://evil.example/api/v1/models"})

    with Client("http://127.0.0.1:9", transport=httpx.MockTransport(answer), token="hf_abc") as client:
        for call in (
            client.health,
            client.presets,
            lambda: client.artifact_size("a" * 64),
            lambda: list(client.open_artifact("a" * 64)),
        ):
            with pytest.raises(Exception, match=r".*") as caught:
                call()
            assert "hf_abc" not in str(caught.value)
    assert {request.url.host for request in seen} == {"127.0.0.1"}
    assert all(request.headers["authorization"] == "Bearer hf_abc" for request in seen)


def test_the_log_of_requests_holds_no_token(caplog: pytest.LogCaptureFixture) -> None:
    import logging

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(500)

    transport: Any = httpx.MockTransport(answer)
    with (
        caplog.at_level(logging.DEBUG),
        Client("http://127.0.0.1:9", transport=transport, token="hf_abc") as client,
        pytest.raises(Exception, match="500"),
    ):
        client.presets()
    assert "hf_abc" not in caplog.text
