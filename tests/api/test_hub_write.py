"""The writing half of the Hugging Face endpoint: what is answered, and what is refused with which reason."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from planner.api import hub_commit_lines
from planner.api.hub_card import judge
from planner.api.hub_commit_lines import read_body
from planner.api.hub_errors import Refusal
from planner.domain.variant import Artifact
from planner.workspace import Workspace
from tests.workspace.folders import write_llama

REPOSITORY = "acme/model"
Api = TestClient[Litestar]


@pytest.fixture
def pushed(api: Api) -> Api:
    create(api)
    return api


@pytest.fixture
def untouched(shared_api: Api) -> Api:
    """A repository that every test leaves as it was: without files."""
    create(shared_api)
    return shared_api


def create(api: Api, name: str = "model", organization: str | None = "acme", **more: Any) -> httpx.Response:
    return api.post("/api/repos/create", json={"name": name, "organization": organization, **more})


def file_line(path: str, content: bytes) -> dict[str, Any]:
    value = {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}
    return {"key": "file", "value": value}


def commit(
    api: Api, *lines: Any, revision: str = "main", id_: str = REPOSITORY, **header: Any
) -> httpx.Response:
    first = {"key": "header", "value": {"summary": "s", **header}}
    body = b"\n".join(
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in (first, *lines)
    )
    return api.post(f"/api/models/{id_}/commit/{revision}", content=body)


def message(answer: httpx.Response) -> str:
    assert answer.headers["x-error-message"] == answer.json()["error"]
    return str(answer.headers["x-error-message"])


def files(api: Api, revision: str = "main") -> list[str]:
    return [
        entry["path"] for entry in api.get(f"/api/models/{REPOSITORY}/tree/{revision}?recursive=1").json()
    ]


def push_model(api: Api, folder: Path, id_: str = REPOSITORY, **header: Any) -> httpx.Response:
    lines = [file_line(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
    return commit(api, *lines, id_=id_, **header)


# -- repositories ---------------------------------------------------------------------------------------------------


def test_a_repository_is_made_once(api: Api) -> None:
    made = create(api)
    assert made.status_code == 200
    assert made.json() == {"url": "http://127.0.0.1/acme/model", "name": REPOSITORY, "id": REPOSITORY}
    again = create(api, "MODEL")
    assert again.status_code == 409
    assert again.json()["url"] == "http://127.0.0.1/acme/model"
    assert api.get(f"/api/models/{REPOSITORY}").json()["siblings"] == []
    assert [each["id"] for each in api.get("/api/models?author=acme").json()] == [REPOSITORY]
    assert create(api, "own", None).json()["name"] == "anonymous/own"
    assert create(api, "acme/third", None).json()["name"] == "acme/third"


@pytest.mark.parametrize(
    ("name", "organization", "more", "status"),
    [
        ("d", "acme", {"type": "dataset"}, 400),
        ("a--b", "acme", {}, 422),
        ("x", "models", {}, 403),
        ("x", "plans", {}, 403),
        ("x", "llama-2-13b", {}, 403),
        ("x" * 100, "acme", {}, 422),
        ("..", "acme", {}, 422),
    ],
)
def test_what_cannot_be_a_repository(
    shared_api: Api, name: str, organization: str, more: dict[str, Any], status: int
) -> None:
    assert create(shared_api, name, organization, **more).status_code == status


def test_a_private_repository_is_made_with_a_warning(api: Api) -> None:
    assert "none private" in create(api, private=True).headers["x-hf-warning"]


def test_a_dropped_repository_is_gone_and_its_variant_stays(pushed: Api, tmp_path: Path) -> None:
    variant = push_model(pushed, write_llama(tmp_path / "m")).json()["variant"]
    dropped = pushed.request("DELETE", "/api/repos/delete", json={"name": "model", "organization": "acme"})
    assert dropped.status_code == 200
    gone = pushed.get(f"/api/models/{REPOSITORY}")
    assert (gone.status_code, gone.headers["x-error-code"]) == (404, "RepoNotFound")
    assert pushed.get(f"/api/v1/variants/{variant}").status_code == 200
    assert commit(pushed, file_line("a", b"a")).headers["x-error-code"] == "RepoNotFound"


# -- before a commit ------------------------------------------------------------------------------------------------


def preupload(api: Api, *asked: tuple[str, int, bytes], query: str = "", **more: Any) -> httpx.Response:
    listed = [{"path": p, "size": n, "sample": base64.b64encode(sample).decode()} for p, n, sample in asked]
    return api.post(f"/api/models/{REPOSITORY}/preupload/main{query}", json={"files": listed, **more})


def test_small_texts_go_into_the_commit_and_the_rest_by_lfs(untouched: Api) -> None:
    answer = preupload(
        untouched,
        ("config.json", 100, b"{}"),
        ("tokenizer.json", 2 * 1024**2, b"{}"),
        ("model.safetensors", 100, b"{}"),
        ("image.png", 100, b"\x89PNG\0"),
        ("empty", 0, b""),
        ("umlaut.txt", 3, "ü".encode()[:1]),
        ("logs/out.tmp", 10, b"x"),
        gitIgnore="*.tmp\n",
    )
    modes = {each["path"]: (each["uploadMode"], each["shouldIgnore"]) for each in answer.json()["files"]}
    assert modes == {
        "config.json": ("regular", False),
        "tokenizer.json": ("lfs", False),
        "model.safetensors": ("lfs", False),
        "image.png": ("lfs", False),
        "empty": ("regular", False),
        "umlaut.txt": ("regular", False),
        "logs/out.tmp": ("regular", True),
    }


def test_the_ignore_file_of_the_repository_counts(pushed: Api) -> None:
    commit(pushed, file_line(".gitignore", b"*.log\n"))
    answers = preupload(pushed, ("a.log", 1, b"x"), ("a.txt", 1, b"x")).json()["files"]
    assert [each["shouldIgnore"] for each in answers] == [True, False]


def test_forbidden_formats_are_refused_before_a_byte_is_sent(untouched: Api) -> None:
    answer = preupload(untouched, ("config.json", 1, b"{"), ("pytorch_model.bin", 10**10, b"PK"))
    assert answer.status_code == 422
    assert "pytorch_model.bin: is in a pickle format (.bin), which runs code" in message(answer)


def test_pull_requests_are_refused_with_the_reason(untouched: Api) -> None:
    assert "pull requests are not kept" in message(preupload(untouched, ("a", 1, b"a"), query="?create_pr=1"))
    answer = untouched.post(f"/api/models/{REPOSITORY}/commit/refs%2Fpr%2F1", content=b"")
    assert answer.status_code == 403
    assert preupload(untouched).status_code == 200


@pytest.mark.parametrize("path", ["../a", "/a", ".git/hooks/x", "a\\b", ""])
def test_paths_that_lead_elsewhere_are_refused(untouched: Api, path: str) -> None:
    assert preupload(untouched, (path, 1, b"a")).status_code == 422
    answer = commit(untouched, file_line(path, b"a"))
    assert answer.status_code == 422
    assert message(answer).startswith("line 2: ")


def test_cards_are_judged(shared_api: Api) -> None:
    def judged(content: str) -> httpx.Response:
        return shared_api.post("/api/validate-yaml", json={"content": content, "repoType": "model"})

    good = judged("---\nbase_model: acme/base\nlicense: mit\n---\ntext")
    assert (good.status_code, good.json()) == (200, {"errors": [], "warnings": []})
    bare = judged("# A model").json()
    assert (bare["errors"], len(bare["warnings"])) == ([], 1)
    assert len(judged("---\ntags: [a]\n---\n").json()["warnings"]) == 2
    broken = judged("---\nlicense: [mit\n---\n")
    assert broken.status_code == 400
    assert "is not YAML" in broken.json()["errors"][0]["message"]
    assert judged("---\nbase_model: no base\n---\n").status_code == 400
    assert judged("---\n- a\n---\n").status_code == 400
    bomb = "---\na: &a [x,x]\nb: &b [*a,*a]\n---\n"
    assert "aliases" in judged(bomb).json()["errors"][0]["message"]


@given(st.text(max_size=300))
def test_no_card_is_too_strange(text: str) -> None:
    judge(f"---\n{text}\n---\n")
    judge(text)


# -- commits --------------------------------------------------------------------------------------------------------


def test_a_whole_model_on_main_is_registered(pushed: Api, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "m")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    answer = push_model(pushed, folder)
    assert answer.status_code == 200, answer.text
    assert "x-hf-warning" not in answer.headers
    made = answer.json()
    assert made["commitUrl"] == f"http://127.0.0.1/{REPOSITORY}/commit/{made['commitOid']}"
    variant = pushed.get(f"/api/v1/variants/{made['variant']}").json()
    assert variant["name"] == "model"
    view = f"{variant['model_id']}/model"
    for place in (f"/{REPOSITORY}/resolve/{made['commitOid']}", f"/{view}/resolve/main"):
        got = pushed.get(f"{place}/model.safetensors")
        assert got.content == (folder / "model.safetensors").read_bytes()
    info = pushed.get(f"/api/models/{REPOSITORY}").json()
    assert info["sha"] == made["commitOid"]
    assert info["variant"]["id"] == made["variant"]
    assert "quant:bf16" in info["tags"]
    (entry,) = pushed.get(f"/api/models/{REPOSITORY}/tree/main?expand=1&limit=1").json()[:1]
    assert entry["lastCommit"]["title"] == "s"


def test_a_branch_is_registered_by_its_tag(pushed: Api, tmp_path: Path) -> None:
    assert pushed.post(f"/api/models/{REPOSITORY}/branch/next", json={}).status_code == 200
    lines = [file_line(path.name, path.read_bytes()) for path in write_llama(tmp_path / "m").iterdir()]
    made = commit(pushed, *lines, revision="next").json()
    assert made["variant"] is None
    assert pushed.get(f"/api/models/{REPOSITORY}").json()["siblings"] == []
    nothing = pushed.post(f"/api/models/{REPOSITORY}/tag/main", json={"tag": "empty"})
    assert nothing.status_code == 422
    assert "cannot be registered: files: hold no weights" in message(nothing)
    assert pushed.post(f"/api/models/{REPOSITORY}/tag/next", json={"tag": "v1"}).status_code == 200
    info = pushed.get(f"/api/models/{REPOSITORY}/revision/v1").json()
    assert info["sha"] == made["commitOid"]
    assert info["variant"]["name"] == "model"
    assert pushed.post(f"/api/models/{REPOSITORY}/tag/next", json={"tag": "v1"}).status_code == 409


def test_what_cannot_be_registered_stays_a_commit_and_says_why(pushed: Api, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "m")
    create(pushed, "model-int4")
    answer = push_model(pushed, folder, id_="acme/model-int4")
    assert answer.status_code == 200
    assert answer.json()["variant"] is None
    assert answer.headers["x-hf-warning"].startswith("registration; name: `int4` contradicts the tensors")
    assert pushed.get("/api/models/acme/model-int4").json()["sha"] == answer.json()["commitOid"]
    (folder / "config.json").unlink()
    half = push_model(pushed, folder)
    assert "there is no config.json" in half.headers["x-hf-warning"]


def test_lineage_follows_the_names_of_pushed_repositories(pushed: Api, tmp_path: Path) -> None:
    base = push_model(pushed, write_llama(tmp_path / "base")).json()["variant"]
    for number, text in enumerate(
        (f"base_model: {REPOSITORY}", f"base_model: {base}", "base_model: acme/unknown")
    ):
        create(pushed, f"child-{number}")
        folder = write_llama(tmp_path / f"child-{number}", seed=number + 5)
        (folder / "README.md").write_text(f"---\n{text}\n---\n")
        made = push_model(pushed, folder, id_=f"acme/child-{number}").json()["variant"]
        variant = pushed.get(f"/api/v1/variants/{made}").json()
        assert variant.get("provenance", {}).get("base_variant_id") == (base if number < 2 else None)


def test_code_is_refused_whatever_it_is_called(untouched: Api) -> None:
    for path, content in (
        ("a.py", b"x"),
        ("notes.txt", b"\x80\x04N."),
        ("config.json", b'{"auto_map": {"a": "b.C"}}'),
    ):
        answer = commit(untouched, file_line("ok.txt", b"ok"), file_line(path, content))
        assert answer.status_code == 422, path
    assert files(untouched) == []


@pytest.mark.parametrize(
    ("lines", "status", "said"),
    [
        ([b"{"], 400, "line 2: "),
        ([b'{"key": "file", "value": {}}'], 400, "line 2: "),
        ([b'{"key": "file", "value": {"path": "a", "content": "%%%"}}'], 422, "is not base64"),
        ([b'{"key": "file", "value": {"path": "a", "content": "YQ==\\n"}}'], 422, "is not base64"),
        ([b'{"key": "file", "value": {"path": "a", "content": "", "encoding": "x"}}'], 422, "encoding"),
        ([b'{"key": "header", "value": {"summary": "again"}}'], 400, "second header"),
        ([b'{"key": "lfsFile", "value": {"path": "a", "oid": "xyz"}}'], 422, "is not a sha256"),
        (
            [b'{"key": "lfsFile", "value": {"path": "a", "oid": "%s"}}' % (b"0" * 64)],
            422,
            "have not been uploaded",
        ),
        ([b'{"key": "deletedFile", "value": {"path": "a"}}'], 404, "A file with this name doesn't exist"),
        ([file_line("a", b"1"), file_line("a", b"2")], 422, "added twice"),
        ([file_line("a", b"1"), file_line("a/b", b"2")], 422, "is a file"),
        ([b"[" * 100_000], 400, "line 2: "),
        ([b"\xff\xfe"], 400, "line 2: "),
    ],
)
def test_bodies_that_are_refused_change_nothing(
    untouched: Api, lines: list[Any], status: int, said: str
) -> None:
    answer = commit(untouched, *lines)
    assert answer.status_code == status, answer.text
    assert said in message(answer)
    assert files(untouched) == []


def test_unknown_kinds_of_lines_and_empty_lines_are_passed_over(pushed: Api) -> None:
    answer = commit(pushed, b"", {"key": "novelty", "value": [1]}, file_line("a", b"a"), b"  ", novelty=1)
    assert answer.status_code == 200
    assert files(pushed) == ["a"]


def test_an_empty_commit_and_one_without_summary_are_refused(untouched: Api) -> None:
    assert untouched.post(f"/api/models/{REPOSITORY}/commit/main", content=b"").status_code == 400
    assert commit(untouched, file_line("a", b"a"), summary=" ").status_code == 400
    first = untouched.post(f"/api/models/{REPOSITORY}/commit/main", content=json.dumps(file_line("a", b"a")))
    assert "first line is to be the header" in message(first)


def test_a_parent_that_is_no_more_is_refused(pushed: Api) -> None:
    parent = pushed.get(f"/api/models/{REPOSITORY}").json()["sha"]
    assert commit(pushed, file_line("a", b"a"), parentCommit=parent[:7]).status_code == 200
    stale = commit(pushed, file_line("b", b"b"), parentCommit=parent)
    assert stale.status_code == 412
    assert f"not at {parent}" in message(stale)
    assert (
        commit(pushed, file_line("a", b"a")).json()["commitOid"]
        == pushed.get(f"/api/models/{REPOSITORY}").json()["sha"]
    ), "nothing new is no commit"


def test_lines_and_bodies_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    def put(content: bytes) -> Artifact:
        return Artifact(path="x", size=len(content), sha256=hashlib.sha256(content).hexdigest())

    header = b'{"key": "header", "value": {"summary": "s"}}\n'

    def read(*pieces: bytes) -> list[Any]:
        return list(read_body(iter([header, *pieces]), put=put, size_of=lambda _: None).operations)

    with pytest.raises(Refusal, match="line 2 is longer") as refused:
        read(*[b"x" * 1_000_000] * 20)
    assert refused.value.status == 413
    monkeypatch.setattr(hub_commit_lines, "MAX_OPERATIONS", 3)
    with pytest.raises(Refusal, match="more than 3 operations"):
        read(*[json.dumps(file_line(str(n), b"a")).encode() + b"\n" for n in range(4)])


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_body_is_read_alike_however_it_is_cut(data: st.DataObject) -> None:
    body = b"\n".join(
        json.dumps(line).encode()
        for line in (
            {"key": "header", "value": {"summary": "s", "parentCommit": None}},
            file_line("a", os.urandom(40)),
            {"key": "deletedFolder", "value": {"path": "b/"}},
            file_line("c", b""),
        )
    )
    cuts = sorted(data.draw(st.sets(st.integers(0, len(body)), max_size=6)))
    edges = [0, *cuts, len(body)]
    pieces = [body[start:end] for start, end in itertools.pairwise(edges)]

    def put(content: bytes) -> Artifact:
        return Artifact(path="x", size=len(content), sha256=hashlib.sha256(content).hexdigest())

    whole = read_body(iter([body]), put=put, size_of=lambda _: None)
    cut = read_body(iter(pieces), put=put, size_of=lambda _: None)
    assert (cut.header, cut.operations) == (whole.header, whole.operations)
    assert len(whole.operations) == 3


@given(st.binary(max_size=200))
def test_no_body_is_too_strange(body: bytes) -> None:
    with suppress(Refusal):
        read_body(
            iter([b'{"key":"header","value":{"summary":"s"}}\n', body]), put=_never, size_of=lambda _: 1
        )


def _never(_: bytes) -> Artifact:
    raise AssertionError


# -- large files ----------------------------------------------------------------------------------------------------


def batch(api: Api, content: bytes, **more: Any) -> dict[str, Any]:
    wanted = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content)} | more
    answer = api.post(
        f"/{REPOSITORY}.git/info/lfs/objects/batch",
        json={"operation": "upload", "transfers": ["basic", "multipart"], "objects": [wanted]},
        headers={"content-type": "application/vnd.git-lfs+json"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/vnd.git-lfs+json")
    return dict(answer.json()["objects"][0])


def test_an_object_is_sent_once(pushed: Api) -> None:
    content = os.urandom(5_000)
    actions = batch(pushed, content)["actions"]
    assert pushed.put(actions["upload"]["href"], content=content).status_code == 200
    known = {"oid": hashlib.sha256(content).hexdigest(), "size": 5_000}
    assert pushed.post(actions["verify"]["href"], json=known).status_code == 200
    assert pushed.post(actions["verify"]["href"], json=known | {"size": 4_999}).status_code == 422
    assert pushed.post(actions["verify"]["href"], json=known | {"oid": "0" * 64}).status_code == 404
    assert "actions" not in batch(pushed, content)
    assert batch(pushed, content, size=4_999)["error"]["code"] == 422
    line = {"key": "lfsFile", "value": {"path": "a", "algo": "sha256", **known}}
    assert commit(pushed, line).status_code == 200
    del known["size"]
    copied = {"key": "lfsFile", "value": {"path": "copy", **known}}
    assert commit(pushed, copied).status_code == 200, "clients that copy a file leave its size out"
    wrong = {"key": "lfsFile", "value": {"path": "b", "size": 1, **known}}
    assert "is not the size" in message(commit(pushed, wrong))


def test_what_cannot_be_taken_is_an_error_of_the_object(
    pushed: Api, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert batch(pushed, b"x", oid="xyz")["error"]["code"] == 422
    assert batch(pushed, b"x", size=-1)["error"]["code"] == 422
    assert "allowed: 0 to" in batch(pushed, b"x", size=2**50)["error"]["message"]
    monkeypatch.setattr(Workspace, "free_bytes", lambda _: 100)
    error = batch(pushed, b"x" * 101)["error"]
    assert (error["code"], error["message"]) == (507, "no room for 101 B: 100 B free")


@pytest.mark.parametrize(
    ("change", "status"),
    [({"operation": "download"}, 400), ({"hash_algo": "sha1"}, 409), ({"objects": "x"}, 400)],
)
def test_batches_that_are_not_served(untouched: Api, change: dict[str, Any], status: int) -> None:
    asked = {"operation": "upload", "objects": []} | change
    assert untouched.post(f"/{REPOSITORY}.git/info/lfs/objects/batch", json=asked).status_code == status


def test_addresses_hold_for_what_they_say(pushed: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(300)
    href = batch(pushed, content)["actions"]["upload"]["href"]
    for other in (href[:-2] + ("A" if href[-2] != "A" else "B") + href[-1], f"{href}x", "/api/uploads/x.y"):
        refused = pushed.put(other, content=content)
        assert refused.status_code == 403, other
        assert "not given out by this server" in message(refused)
    assert pushed.post(href, json={}).status_code == 403
    assert pushed.put(href, content=content[:-1]).status_code == 422
    assert pushed.put(href, content=bytes(300)).status_code == 422
    with monkeypatch.context() as patched:
        patched.setattr("planner.api.hub_lfs.time.time", lambda: 10**11)
        assert "expired" in message(pushed.put(href, content=content))
    assert pushed.put(href, content=content).status_code == 200
    assert pushed.put(href, content=content).status_code == 200, "a repeated request is no error"


# -- refs -----------------------------------------------------------------------------------------------------------


def test_branches_come_and_go(pushed: Api) -> None:
    at = f"/api/models/{REPOSITORY}/branch"
    assert pushed.post(f"{at}/feature%2Fone", json={"startingPoint": "main"}).status_code == 200
    assert pushed.post(f"{at}/feature%2Fone", json={}).status_code == 409
    assert pushed.post(f"{at}/bad..name", json={}).status_code == 400
    missing = pushed.post(f"{at}/other", json={"startingPoint": "absent"})
    assert (missing.status_code, missing.headers["x-error-code"]) == (404, "RevisionNotFound")
    assert commit(pushed, file_line("a", b"a"), revision="feature%2Fone").status_code == 200
    assert files(pushed, "feature%2Fone") == ["a"]
    assert files(pushed) == []
    refs = pushed.get(f"/api/models/{REPOSITORY}/refs").json()
    assert [ref["name"] for ref in refs["branches"]] == ["main", "feature/one"]
    assert pushed.delete(f"{at}/main").status_code == 403
    assert pushed.delete(f"{at}/feature%2Fone").status_code == 200
    assert pushed.delete(f"{at}/feature%2Fone").headers["x-error-code"] == "RevisionNotFound"
    assert commit(pushed, file_line("b", b"b"), revision="feature%2Fone").status_code == 404


def test_an_alias_is_a_branch_of_the_repository_its_variant_came_from(pushed: Api, tmp_path: Path) -> None:
    made = push_model(pushed, write_llama(tmp_path / "m")).json()
    commit(pushed, file_line("later.txt", b"later"))
    moved = pushed.put("/api/v1/aliases/prod", json={"variant": made["variant"]})
    assert moved.status_code < 300, moved.text
    refs = pushed.get(f"/api/models/{REPOSITORY}/refs").json()
    assert {ref["name"]: ref["targetCommit"] for ref in refs["branches"]}["prod"] == made["commitOid"]
    assert pushed.get(f"/api/models/{REPOSITORY}/revision/prod").json()["sha"] == made["commitOid"]


def test_views_are_not_written_to(pushed: Api, tmp_path: Path) -> None:
    variant = pushed.get(
        f"/api/v1/variants/{push_model(pushed, write_llama(tmp_path / 'm')).json()['variant']}"
    ).json()
    view = f"{variant['model_id']}/model"
    assert commit(pushed, file_line("a", b"a"), id_=view).status_code == 403
    assert pushed.get(f"/api/models/{view}/auth-check/write").status_code == 403
    assert pushed.get(f"/api/models/{REPOSITORY}/auth-check/write").status_code == 200
