"""The scripts for pipelines, run as a runner runs them: bash, the runner's variables, a real server, a real issuer."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from planner.artifacts.manifest import scan
from planner.client import Client
from planner.domain.identity import TokenScope
from planner.domain.variant import manifest_digest
from planner.kit_scripts import scripts_folder
from planner.settings import load_settings
from planner.wire.identity import TokenRequest
from planner.workspace import Workspace
from tests.api.process import running_server
from tests.ingest.documents import encoded, vllm_serve
from tests.workspace.fixtures import data_template
from tests.workspace.folders import write_llama
from tests.workspace.issuer import AUDIENCE, Issuer, running_issuer

__all__ = ["data_template"]

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT / "kit"
PASSES = "version: 1\nmemory: [{measure: weights, at_most: 1GiB}]\n"
FAILS = "version: 1\nmemory: [{measure: weights, at_most: 1KiB}]\n"
OPEN = "version: 1\ntasks: [{task: arc-easy, margin: 1pp}]\n"


class Site(NamedTuple):
    url: str
    issuer: Issuer
    runner: str
    """Where a runner gives identity tokens."""
    admin: str


class Step(NamedTuple):
    status: int
    said: str
    outputs: dict[str, str]
    summary: str


@pytest.fixture(scope="module")
def site(data_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("kit")
    data = Path(shutil.copytree(data_template, folder / "data"))
    with running_issuer() as issuer, runner(issuer) as url:
        oidc = issuer.settings(folder, scopes=["register", "promote"])
        with Workspace(load_settings({}, data_dir=data)) as workspace:
            admin = workspace.create_token(TokenRequest(label="admin", scopes=(TokenScope.ADMIN,))).secret
        with running_server(data, {"PLANNER_AUTH": "all", "PLANNER_OIDC": str(oidc)}) as server:
            yield Site(server.url, issuer, url, admin)


class runner:  # noqa: N801 - a context manager
    """The part of a GitHub runner that gives identity tokens to jobs with `id-token: write`."""

    def __init__(self, issuer: Issuer) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = parse_qs(urlsplit(self.path).query)
                if self.headers["authorization"] != "bearer runner-secret":
                    self.send_error(401)
                    return
                body = json.dumps({"value": issuer.token(aud=asked["audience"][0])}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}/token?api-version=2.0"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def environ(site: Site, tmp_path: Path) -> dict[str, str]:
    """What a runner with this checkout has set, `planner` on the PATH included."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, call in {"planner": "-m planner.cli", "python3": ""}.items():
        path = commands / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {call} "$@"\n')
        path.chmod(0o755)
    return {
        "PATH": f"{commands}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "GITHUB_ACTIONS": "true",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "ACTIONS_ID_TOKEN_REQUEST_URL": site.runner,
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "runner-secret",
        "TMPDIR": str(tmp_path),
        "INPUT_SERVER": site.url,
        "PLANNER_AUDIENCE": AUDIENCE,
    }


@pytest.fixture
def action(environ: dict[str, str], tmp_path: Path) -> Callable[..., Step]:
    """Run every step of a composite action with inputs, as `action.yml` says."""

    def run(name: str, /, **inputs: str) -> Step:
        for each in ("output", "summary"):
            (tmp_path / each).write_text("")
        document = yaml.safe_load((KIT / name / "action.yml").read_text())
        given = {key: str(value.get("default", "")) for key, value in document["inputs"].items()}
        assert set(inputs) <= {key.replace("-", "_") for key in given}
        given |= {key.replace("_", "-"): value for key, value in inputs.items()}
        given["server"], given["audience"] = environ["INPUT_SERVER"], AUDIENCE
        said, status = "", 0
        for step in document["runs"]["steps"]:
            stated = {key: filled(value, given) for key, value in step["env"].items()}
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                env={**environ, **stated, "GITHUB_ACTION_PATH": str(KIT / name)},
                cwd=tmp_path, capture_output=True, text=True, check=False,
            )  # fmt: skip
            said, status = said + done.stdout + done.stderr, done.returncode
            if status:
                break
        outputs = dict(line.split("=", 1) for line in (tmp_path / "output").read_text().splitlines())
        promised = {value["value"] for value in document["outputs"].values()}
        if status == 0:
            assert {re.sub(r".*outputs\.(\w+).*", r"\1", value) for value in promised} <= set(outputs)
        return Step(status, said, outputs, (tmp_path / "summary").read_text())

    return run


def filled(text: str, inputs: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda match: inputs[match[1]], text)


def policy(folder: Path, text: str) -> str:
    path = folder / "gate.yaml"
    path.write_text(text)
    return str(path)


def test_a_build_is_registered_and_gated(action: Callable[..., Step], site: Site, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "a build", seed=601)
    bench = tmp_path / "bench.json"
    bench.write_bytes(encoded(vllm_serve()))
    wanted = {
        "path": str(folder),
        "model": "kit",
        "name": "kit-one",
        "alias": "candidate-601",
        "bench": f"{bench}\n\n",
        "device": "h100-80gb",
        "engine": "vllm 0.33.0",
    }
    step = action("register", **wanted)
    assert step.status == 0, step.said
    assert step.outputs["digest"] == manifest_digest(scan(folder))
    assert (step.outputs["created"], step.outputs["variant"]) == ("true", "kit/kit-one")
    assert "### Variant registered" in step.summary
    assert re.search(r"::notice title=registered::kit/kit-one sha256:", step.said)
    assert "::warning title=result " in step.said
    assert re.search(r"^::add-mask::hf_\w{34,}$", step.said, re.MULTILINE)
    again = action("register", **wanted)
    assert (again.status, again.outputs["created"], again.outputs["bytes_uploaded"]) == (0, "false", "0")

    digest = step.outputs["digest"]
    passed = action("gate", variant=digest, policy=policy(tmp_path, PASSES))
    assert (passed.status, passed.outputs["verdict"]) == (0, "pass"), passed.said
    assert "::notice title=gate%3A pass::" in passed.said
    assert passed.summary
    junit = str(tmp_path / "gate.xml")
    failed = action("gate", variant=digest, policy=policy(tmp_path, FAILS), junit=junit)
    assert (failed.status, failed.outputs["verdict"]) == (3, "fail")
    assert "::error title=gate%3A fail::" in failed.said
    assert "<testsuite" in Path(junit).read_text()
    undecided = {"variant": digest, "policy": policy(tmp_path, OPEN)}
    assert action("gate", **undecided).status == 4
    assert action("gate", **undecided, inconclusive="pass").status == 0
    with Client(site.url, token=site.admin) as client:
        assert client.alias("candidate-601").alias.variant_id == digest


def test_what_goes_wrong_is_annotated(action: Callable[..., Step], tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "out", seed=602)
    step = action("register", path=str(folder), model="kit", scheme="int4")
    assert step.status == 2
    assert re.search(r"^::error title=planner register::scheme: `int4` contradicts", step.said, re.MULTILINE)
    assert "::error" in action("gate", variant="nothing", policy=policy(tmp_path, PASSES)).said
    assert action("gate", variant="x", policy="y", inconclusive="perhaps").status == 1
    assert "the input path is missing" in action("register", path="").said


def test_inputs_are_never_commands(action: Callable[..., Step], tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "out", seed=603)
    mark = tmp_path / "mark"
    evil = f"$(touch {mark}); `touch {mark}` ' \" --help"
    for inputs in ({"path": evil}, {"eval": evil}, {"alias": evil}, {"base": evil}):
        assert action("register", **{"path": str(folder), **inputs}).status != 0
    assert action("register", path=str(folder), name=evil, model="kit").status == 0, "an odd name is a name"
    assert action("gate", variant=evil, policy=evil).status != 0
    assert action("register", path="--help").status == 2
    assert not mark.exists()


def test_an_identity_that_is_not_trusted(environ: dict[str, str], site: Site, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "out", seed=604)
    script = ["bash", str(KIT / "scripts" / "register.sh")]
    base = {**environ, "INPUT_PATH": str(folder), "INPUT_MODEL": "kit"}
    for changed in (
        {"PLANNER_AUDIENCE": "https://somebody.else"},
        {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "wrong"},
        {"PLANNER_SCOPE": "admin"},
        {"PLANNER_ID_TOKEN": site.issuer.token(ref="refs/heads/other")},
    ):
        done = subprocess.run(script, env={**base, **changed}, capture_output=True, text=True, check=False)
        assert done.returncode != 0, changed
        assert "::error title=planner::" in done.stdout, done.stderr
    anonymous = {key: value for key, value in base.items() if not key.startswith("ACTIONS_")}
    done = subprocess.run(script, env=anonymous, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "::error title=planner register::" in done.stdout
    with_token = {**anonymous, "PLANNER_TOKEN": site.admin}
    done = subprocess.run(script, env=with_token, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert site.admin not in done.stdout + done.stderr


def test_the_gitlab_component(environ: dict[str, str], site: Site, tmp_path: Path) -> None:
    """Its jobs' own script lines, with `inputs` filled in and the identity that GitLab would give."""
    specification, jobs = component()
    folder = write_llama(tmp_path / "out", seed=605)
    given = {
        name: (value or {}).get("default", "") for name, value in specification["spec"]["inputs"].items()
    } | {
        "server": site.url, "path": str(folder), "policy": policy(tmp_path, PASSES), "model": "kit", "name": "gitlab-one",
    }  # fmt: skip
    base = {
        key: value for key, value in environ.items() if not key.startswith(("GITHUB_", "ACTIONS_", "INPUT_"))
    }
    carried: dict[str, str] = {}
    said = ""
    for name in ("register-variant", "gate-variant"):
        job = jobs[name]
        variables = {
            key: re.sub(r"\$\[\[ inputs\.([a-z-]+) \]\]", lambda match: given[match[1]], value)
            for key, value in job["variables"].items()
        }
        assert job["id_tokens"]["PLANNER_ID_TOKEN"]["aud"] == "$[[ inputs.server ]]"
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", "\n".join(job["script"])],
            env={**base, **variables, **carried, "PLANNER_ID_TOKEN": site.issuer.token()},
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        said += done.stdout
        if (tmp_path / "planner.env").exists():
            carried = dict(line.split("=", 1) for line in (tmp_path / "planner.env").read_text().splitlines())
    assert carried["PLANNER_DIGEST"] == manifest_digest(scan(folder))
    assert "notice: registered: kit/gitlab-one" in said
    assert "notice: gate: pass:" in said
    assert "<testsuite" in (tmp_path / "gate.xml").read_text()
    assert "::" not in said.replace("://", "")


def component() -> tuple[dict[str, Any], dict[str, Any]]:
    specification, jobs = yaml.safe_load_all((KIT / "gitlab" / "variant.yml").read_text())
    return specification, jobs


def check(schema: str, *files: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_files_are_as_the_platforms_want_them(tmp_path: Path) -> None:
    check("vendor.github-actions", KIT / "register" / "action.yml", KIT / "gate" / "action.yml")
    specification, jobs = component()
    text = json.dumps(jobs)
    used = set(re.findall(r"\$\[\[ inputs\.([a-z-]+) \]\]", text))
    assert used == set(specification["spec"]["inputs"])
    plain = tmp_path / ".gitlab-ci.yml"
    plain.write_text(re.sub(r"\$\[\[ inputs\.[a-z-]+ \]\]", "test", text))
    check("vendor.gitlab-ci", plain)


def test_actions_hand_every_input_over() -> None:
    for name in ("register", "gate"):
        document = yaml.safe_load((KIT / name / "action.yml").read_text())
        used = set(re.findall(r"inputs\.([a-z-]+)", json.dumps(document["runs"])))
        assert used == set(document["inputs"])
        for step in document["runs"]["steps"]:
            assert "${{" not in step["run"], "an expression in a script would be a command"
            assert os.access((KIT / name / step["run"].split('"')[1].partition("/")[2]).resolve(), os.X_OK)


def test_scripts_are_sound() -> None:
    assert scripts_folder() == KIT / "scripts"
    for script in (KIT / "scripts").glob("*.sh"):
        subprocess.run(["bash", "-n", script], check=True)
        if script.name != "token.sh":
            assert "set -euo pipefail" in script.read_text()
