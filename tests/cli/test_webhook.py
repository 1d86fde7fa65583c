"""`planner webhook`, in process: what is shown, what is refused, and that the secret is shown once."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

Run = Callable[..., tuple[int, str, str]]


def planner(run: Run, verb: str, *arguments: str) -> tuple[int, str, str]:
    return run("webhook", verb, *arguments)


def test_adding_listing_and_removing(run, tmp_path):
    code, out, _ = planner(run, "add", "https://ci.example/hook", "--event", "alias.moved", "--json")
    assert code == 0
    made = json.loads(out)
    assert made["secret"].startswith("whsec_")
    id_ = made["webhook"]["id"]
    code, out, _ = planner(run, "list")
    assert "https://ci.example/hook" in out
    assert "alias.moved" in out
    assert made["secret"] not in out
    assert made["secret"] not in planner(run, "list", "--json")[1]
    assert "paused" in planner(run, "pause", id_)[1]
    assert "active" in planner(run, "resume", id_)[1]
    assert "nothing was to be delivered yet" in planner(run, "deliveries", id_)[1]
    code, out, _ = planner(run, "replay", id_, "--since", "2100-01-01")
    assert (code, out) == (0, "0 events are on their way again\n")
    assert planner(run, "remove", id_)[0] == 0
    assert planner(run, "remove", id_)[0] == 2


def test_a_secret_of_ones_own(run, tmp_path):
    path = tmp_path / "secret"
    path.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    code, out, _ = planner(run, "add", "https://ci.example/own", "--secret-file", str(path), "--json")
    assert code == 0
    made = json.loads(out)
    assert made["secret"] == path.read_text().strip()
    planner(run, "remove", made["webhook"]["id"])
    path.write_text("password")
    code, _, err = planner(run, "add", "https://ci.example/own", "--secret-file", str(path))
    assert code == 2
    assert "password" not in err


def test_a_test_that_reaches_nobody(run):
    made = json.loads(planner(run, "add", "http://127.0.0.1:9/", "--json")[1])
    code, out, _ = planner(run, "test", made["webhook"]["id"])
    assert code == 1
    assert "is this machine" in out
    planner(run, "remove", made["webhook"]["id"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "ftp://x/"),
        ("add", "https://x/", "--event", "nonsense"),
        ("replay", "x", "--since", "yesterday"),
        ("replay", "x"),
        ("deliveries", "nothing"),
        ("test", "nothing"),
    ],
)
def test_what_is_refused(run, arguments):
    assert planner(run, *arguments)[0] == 2
