"""Keyless pipelines against a real server process and a real issuer: the form, the JSON, and stock clients.

PLANNER_CLIENT_MATRIX=FOLDER also tries the releases of huggingface_hub that have an environment there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from planner.client import Client
from planner.domain.identity import TokenScope
from planner.domain.job import JobKind
from planner.errors import NotAllowed, NotAuthenticated
from planner.settings import load_settings
from planner.wire.identity import TokenRequest
from planner.wire.requests import JobRequest
from planner.workspace import Workspace
from tests.api.process import running_server
from tests.workspace.fixtures import data_template
from tests.workspace.folders import write_llama
from tests.workspace.issuer import CLAIMS, Issuer, running_issuer

__all__ = ["data_template"]

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
REPOSITORY = "tiny/one"
PUSHED = "acme/tiny-build"
RESOURCES = ("tiny/*", PUSHED)

CLIENT = """
import json, sys
import huggingface_hub as hub
from huggingface_hub.utils import HfHubHTTPError
api = hub.HfApi()
found = {"version": hub.__version__, "me": api.whoami()}
found["sha"] = api.model_info(sys.argv[1]).sha
try:
    api.create_branch(sys.argv[1], branch="prod2")
    found["branch"] = "made"
except HfHubHTTPError as error:
    found["branch"] = error.response.status_code
    found["message"] = str(error)
print(json.dumps(found))
"""


class Site:
    """A server that asks for tokens, the issuer it trusts, and an admin's token."""

    def __init__(self, url: str, issuer: Issuer, admin: str) -> None:
        self.url, self.issuer, self.admin = url, issuer, admin

    def exchange(self, identity: str, *, form: bool = False, **fields: Any) -> httpx.Response:
        body = {
            "grant_type": GRANT,
            "subject_token_type": ID_TOKEN,
            "subject_token": identity,
            "resource": REPOSITORY,
            **fields,
        }
        body = {name: value for name, value in body.items() if value is not None}
        sent: dict[str, Any] = {"data": body} if form else {"json": body}
        return httpx.post(f"{self.url}/oauth/token", **sent)


@pytest.fixture(scope="module")
def site(data_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("oidc")
    data_dir = Path(shutil.copytree(data_template, folder / "data"))
    with running_issuer() as issuer:
        oidc = issuer.settings(folder, resources=list(RESOURCES), scopes=["register"])
        with Workspace(load_settings({}, data_dir=data_dir)) as workspace:
            admin = workspace.create_token(TokenRequest(label="admin", scopes=(TokenScope.ADMIN,))).secret
        environment = {"PLANNER_AUTH": "all", "PLANNER_OIDC": str(oidc)}
        with running_server(data_dir, environment) as server:
            yield Site(server.url, issuer, admin)


@pytest.mark.parametrize("form", [True, False])
@pytest.mark.parametrize(("key", "algorithm"), [("rsa", "RS256"), ("ec", "ES256")])
def test_an_identity_token_is_exchanged(site, form, key, algorithm):
    reply = site.exchange(site.issuer.token(key, algorithm), form=form)
    assert reply.status_code == 200, reply.text
    document = reply.json()
    assert document["token_type"] == "bearer"
    assert document["issued_token_type"].endswith(":access_token")
    assert (document["expires_in"], document["scope"]) == (900, "register")
    assert reply.headers["cache-control"] == "no-store"
    with Client(site.url, token=document["access_token"]) as client:
        assert client.models(limit=1).items
        with pytest.raises(NotAllowed, match="admin"):
            client.tokens()


def test_fewer_scopes_may_be_asked_for_and_not_more(site):
    fewer = site.exchange(site.issuer.token(), form=True, scope="read")
    assert fewer.json()["scope"] == "read"
    for scope in ("admin", "promote register", "nonsense"):
        assert site.exchange(site.issuer.token(), form=True, scope=scope).status_code == 400


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": None}, "unsupported_grant_type"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
        ({"subject_token": None}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"resource": "other/one"}, "invalid_target"),
        ({"resource": "datasets/tiny/one"}, "invalid_target"),
        ({"subject_token": "x.y.z"}, "invalid_grant"),
    ],
)
def test_refusals_are_those_of_oauth(site, fields, error):
    for form in (True, False):
        reply = site.exchange(site.issuer.token(), form=form, **fields)
        assert (reply.status_code, reply.json()["error"]) == (400, error)
        assert reply.headers["x-error-message"]
        assert site.issuer.token() not in reply.text


def test_bodies_that_are_none(site):
    url = f"{site.url}/oauth/token"
    for content, media_type in (
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"\xff", "application/x-www-form-urlencoded"),
        (b"a=1&a=2&grant_type=x&grant_type=y", "application/x-www-form-urlencoded"),
        (b"x", "text/plain"),
    ):
        reply = httpx.post(url, content=content, headers={"Content-Type": media_type})
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")
    assert (
        httpx.post(url, content=b"x" * 100_000, headers={"Content-Type": "application/json"}).status_code
        == 413
    )


def test_a_pipeline_registers_and_its_run_is_remembered(site, tmp_path):
    folder = write_llama(tmp_path / "tiny")
    token = site.exchange(site.issuer.token()).json()["access_token"]
    with Client(site.url, token=token) as client:
        with pytest.raises(NotAllowed, match="tiny/one"):
            client.register(folder, model="tiny", name="two")
        done = client.register(folder, model="tiny", name="one")
        assert done.created
        (record,) = client.registrations(variant=done.digest).items
    assert record.created
    assert record.actor == CLAIMS["sub"]
    assert record.origin is not None
    assert record.origin.repository == "acme/models"
    assert record.origin.sha == CLAIMS["sha"]
    assert record.origin.run_url is not None
    assert record.origin.run_url.endswith("/actions/runs/4711/attempts/2")
    shown = subprocess.run(
        [sys.executable, "-m", "planner.cli", "show", done.digest, "--server", site.url],
        env={**os.environ, "PLANNER_TOKEN": token, "COLUMNS": "250"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "acme/models" in shown.stdout
    assert "actions/runs/4711" in shown.stdout
    with Client(site.url, token=site.admin) as admin:
        listed = [each for each in admin.tokens(limit=200).items if each.origin is not None]
    assert listed
    assert all(each.created_by == site.issuer.url for each in listed)


def test_a_worker_needs_one_scope(site, tmp_path):
    """From leasing to the registration of what it built, and nothing besides."""
    folder = write_llama(tmp_path / "built", hidden=64)
    with Client(site.url, token=site.admin) as admin:
        made = admin.create_token(TokenRequest(label="bench-1", scopes=(TokenScope.MEASURE,)))
        job = admin.create_job(JobRequest(kind=JobKind.MEASURE, spec={"variant": {"from": "reference"}}))
    with Client(site.url, token=made.secret) as worker:
        lease = worker.lease(worker="bench-1")
        assert lease is not None
        assert lease.job.id == job.id
        worker.heartbeat(job.id, token=lease.token, progress=0.5)
        with pytest.raises(NotAllowed, match="register"):
            worker.register(folder, model="tiny", name="built")
        with worker.under_lease(job.id, token=lease.token) as leased:
            done = leased.register(folder, model="tiny", name="built")
        assert (
            worker.complete(job.id, token=lease.token, result={"variant_id": done.digest}).state
            == "succeeded"
        )
        with pytest.raises(NotAllowed, match="promote"):
            worker.move_alias("prod", done.digest)
        assert worker.registrations(variant=done.digest).items[0].actor == "bench-1"


def test_clients_say_what_is_wrong_and_never_the_token(site, monkeypatch):
    monkeypatch.delenv("PLANNER_TOKEN", raising=False)
    with Client(site.url) as client, pytest.raises(NotAuthenticated, match="token"):
        client.models()
    wrong = "hf_" + "z" * 40
    with Client(site.url, token=wrong) as client:
        with pytest.raises(NotAuthenticated) as caught:
            client.models()
        assert wrong not in f"{caught.value}{caught.value.details}{client!r}{client._http!r}"
    monkeypatch.setenv("PLANNER_TOKEN", site.admin)
    with Client(site.url) as client:
        assert client.models(limit=1).items
        leased = client.under_lease("job", token=1)
        assert leased.models(limit=1).items
        leased.close()


PUSH = """
import sys
import huggingface_hub as hub
api = hub.HfApi()
api.create_repo(sys.argv[1], exist_ok=True)
print(api.upload_folder(repo_id=sys.argv[1], folder_path=sys.argv[2]).oid)
try:
    api.create_repo("acme/other")
except Exception as error:
    print(f"refused: {error}".replace(chr(10), " "))
"""


def test_a_stock_client_pushes_without_a_secret_and_its_run_is_remembered(site, tmp_path):
    folder = write_llama(tmp_path / "pushed", hidden=128)
    done = subprocess.run(
        [sys.executable, "-c", PUSH, PUSHED, str(folder)],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "HF_HOME": str(tmp_path / "hf"),
            "HF_ENDPOINT": site.url,
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "*",
            "HF_OIDC_RESOURCE": PUSHED,
            "HF_OIDC_ID_TOKEN": site.issuer.token(run_id="815"),
        },
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    commit, refused = done.stdout.splitlines()
    assert len(commit) == 40
    assert f"{PUSHED} only" in refused
    with Client(site.url, token=site.admin) as admin:
        records = admin.registrations().items
    (record,) = [each for each in records if each.origin is not None and "815" in (each.origin.run_url or "")]
    assert record.created
    assert record.actor == CLAIMS["sub"]


def stock_clients() -> list[Any]:
    folder = os.environ.get("PLANNER_CLIENT_MATRIX")
    found = [pytest.param(sys.executable, id="installed")]
    if folder:
        found += [
            pytest.param(str(path), id=path.parts[-3]) for path in sorted(Path(folder).glob("*/bin/python"))
        ]
    return found


@pytest.mark.parametrize("python", stock_clients())
def test_stock_clients_without_a_secret(site, python, tmp_path):
    """huggingface_hub exchanges the pipeline's identity token by itself, from its release 1.19 on."""
    with Client(site.url, token=site.admin) as admin:
        folder = write_llama(tmp_path / "tiny")
        admin.register(folder, model="tiny", name="one")
    version = subprocess.run(
        [python, "-c", "import huggingface_hub; print(huggingface_hub.__version__)"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    keyless = tuple(int(part) for part in version.split(".")[:2]) >= (1, 19)
    credentials = (
        {"HF_OIDC_RESOURCE": REPOSITORY, "HF_OIDC_ID_TOKEN": site.issuer.token()}
        if keyless
        else {"HF_TOKEN": site.exchange(site.issuer.token()).json()["access_token"]}
    )
    done = subprocess.run(
        [python, "-c", CLIENT, REPOSITORY],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "HF_HOME": str(tmp_path / "hf"),
            "HF_ENDPOINT": site.url,
            "NO_PROXY": "*",
            **credentials,
        },
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["version"] == version
    assert found["me"]["name"] == CLAIMS["sub"]
    assert found["me"]["auth"]["accessToken"]["role"] == "write"
    assert len(found["sha"]) == 40
    assert found["branch"] == 403  # branches are aliases: a pipeline that registers does not promote
    assert "is a view of what is registered, and read-only" in found["message"]


@pytest.mark.parametrize(
    ("token", "word"), [("hf_" + "q" * 40, "Invalid"), (None, "set HF_TOKEN"), ("", "set HF_TOKEN")]
)
def test_stock_clients_that_may_not_read_say_so(site, token, word, tmp_path):
    script = "import huggingface_hub as h\nh.hf_hub_download('tiny/one', 'config.json')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "HF_HOME": str(tmp_path / "hf"),
            "HF_ENDPOINT": site.url,
            **({} if token is None else {"HF_TOKEN": token}),
        },
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert word in done.stderr
    assert "cannot find" not in done.stderr.lower()
