"""The Hugging Face endpoint on the wire: addresses, headers, refusals, revisions, plans, and the log of loads."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from planner.api import hub_address, hub_names, hub_standing
from planner.api.app import create_app
from planner.api.hub_address import Address, Operation
from planner.api.hub_errors import header_text
from planner.domain.figure import Basis, exact
from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.domain.units import Unit
from planner.domain.variant import Artifact, FileFormat, Provenance, Variant, manifest_digest
from planner.registry import variants
from planner.settings import load_settings
from planner.wire.serving import Load
from planner.workspace import Workspace
from planner.workspace import serving as serving_rules
from tests.workspace.folders import write_llama

START = datetime(2026, 1, 1, tzinfo=UTC)
HUGE = 51 * 1000**3


def variant_of(
    name: str, files: dict[str, tuple[str, int]], *, minutes: int = 0, label: str | None = None, **more
):
    artifacts = tuple(
        Artifact(path=path, size=size, sha256=sha256) for path, (sha256, size) in sorted(files.items())
    )
    return Variant(
        id=manifest_digest(artifacts),
        model_id="tiny",
        name=name,
        scheme=Scheme(weight=Precision(format=NumberFormat.Q4_K), label=label),
        file_format=FileFormat.GGUF,
        weight_bytes=exact(1000.0, Unit.BYTES, basis=Basis.MEASURED),
        artifacts=artifacts,
        created_at=START + timedelta(minutes=minutes),
        **more,
    )


def stored(workspace: Workspace, content: bytes) -> tuple[str, int]:
    sha256 = hashlib.sha256(content).hexdigest()
    workspace.upload(iter([content]), sha256=sha256)
    return sha256, len(content)


class Held:
    """What the tests' registry holds."""

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        self.workspace = workspace
        self.builds: list[Variant] = []
        for number, (name, dtype) in enumerate((("tiny", "BF16"), ("tiny", "BF16"), ("wide", "F32"))):
            made = write_llama(folder / str(number), dtype=dtype, seed=number)
            (made / "sub dir").mkdir()
            (made / "sub dir" / "note.txt").write_text(f"note {number}")
            done = workspace.register(made, name=name)
            assert done.variant is not None
            self.builds.append(done.variant)
        self.old, self.new, self.wide = self.builds
        self.model = self.new.model_id
        workspace.move_alias("prod", self.old.id)
        self.ggufs = [
            variant_of("q4", {"a.gguf": stored(workspace, b"first")}, minutes=1, label="q4_k_m"),
            variant_of(
                "q5",
                {
                    "m-00001-of-00002.gguf": stored(workspace, b"part one"),
                    "m-00002-of-00002.gguf": stored(workspace, b"part two"),
                    "mmproj-f16.gguf": stored(workspace, b"eyes"),
                    "README.md": stored(workspace, b"# read"),
                },
                minutes=2,
                label="q5_k_m",
            ),
            variant_of("q4 again", {"b.gguf": stored(workspace, b"second")}, minutes=3, label="q4_k_m"),
        ]
        sparse = "5" * 64
        place = folder.parent / "data" / "blobs" / "55" / "55" / sparse
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            file.truncate(HUGE)
        self.huge = variant_of(
            "huge",
            {"model.gguf": (sparse, HUGE)},
            label="q8_0",
            provenance=Provenance(needs=("cuda", "cc>=8.9")),
        )
        with workspace.registry.write() as tx:
            for variant in (*self.ggufs, self.huge):
                variants.register(tx, msgspec.structs.replace(variant, model_id=self.model))

    def variant(self, name: str) -> Variant:
        return self.workspace.variant(f"{self.model}/{name}")


@pytest.fixture(scope="module")
def held(data_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    folder = tmp_path_factory.mktemp("hub")
    shutil.copytree(data_template, folder / "data")
    with Workspace(load_settings({}, data_dir=folder / "data", port=0)) as workspace:
        yield Held(workspace, folder / "made")


@pytest.fixture(scope="module")
def hub(held: Held) -> Iterator[TestClient[Litestar]]:
    app = create_app(held.workspace.settings, service=held.workspace)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        client.follow_redirects = False
        yield client


def commit(variant: Variant) -> str:
    return variant.id.removeprefix("sha256:")[:40]


# -- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/models", Address(Operation.LIST)),
        ("/api/models/a/b", Address(Operation.INFO, "a/b")),
        ("/api/models/a/b/revision/refs%2Fpr%2F1", Address(Operation.INFO, "a/b", "refs/pr/1")),
        (
            "/api/models/a/b/revision/plan%3A13B%2C%20%E2%89%A41%25",
            Address(Operation.INFO, "a/b", "plan:13B, ≤1%"),
        ),
        ("/api/models/a/b/tree/main", Address(Operation.TREE, "a/b")),
        ("/api/models/a/b/tree/x/sub%2Fdir", Address(Operation.TREE, "a/b", "x", "sub/dir")),
        ("/api/models/a/b/tree/x/sub/dir", Address(Operation.TREE, "a/b", "x", "sub/dir")),
        ("/api/models/a/b/refs", Address(Operation.REFS, "a/b")),
        ("/api/models/a/tree/tree/main", Address(Operation.TREE, "a/tree")),
        ("/api/models/gpt2", Address(Operation.INFO, "gpt2")),
        ("/api/models/gpt2/revision/main", Address(Operation.INFO, "gpt2")),
        ("/api/models/a/b/xet-read-token/main", Address(Operation.UNKNOWN, "a/b")),
        ("/a/b/resolve/refs%2Fpr%2F1/x/y.gguf", Address(Operation.FILE, "a/b", "refs/pr/1", "x/y.gguf")),
        ("/a/b/resolve/refs/pr/1/x.gguf", Address(Operation.FILE, "a/b", "refs/pr/1", "x.gguf")),
        ("/a/b/raw/main/sub%20dir/x", Address(Operation.FILE, "a/b", "main", "sub dir/x")),
        ("/gpt2/resolve/main/x", Address(Operation.FILE, "gpt2", "main", "x")),
        ("/datasets/a/b/resolve/main/x", Address(Operation.UNKNOWN, "datasets/a/b")),
        ("/api/datasets/a/b", Address(Operation.UNKNOWN, "datasets/a/b")),
        ("/api/v1/models", None),
        ("/variants/a/b", None),
        ("/plans/0198", None),
        ("/assets/resolve/main/x", None),
        ("/", None),
    ],
)
def test_addresses_are_read_before_they_are_decoded(path, expected):
    assert hub_address.parse(path) == expected


@given(st.text(max_size=20), st.text(min_size=1, max_size=30))
def test_any_revision_and_path_come_back_as_they_were_quoted(revision, path):
    address = hub_address.parse(f"/a/b/resolve/{quote(revision or 'main', safe='')}/{quote(path)}")
    assert address == Address(Operation.FILE, "a/b", revision or "main", path)


@given(st.text(max_size=120))
def test_every_name_becomes_one_that_clients_accept(name):
    from huggingface_hub.utils._validators import validate_repo_id

    validate_repo_id(f"{hub_names.slug(name)}/{hub_names.slug(name)}{hub_names.GGUF_SUFFIX}")


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_two_names_meet(one, other):
    assert (hub_names.slug(one) == hub_names.slug(other)) == (one == other)


@given(st.text())
def test_anything_can_be_said_in_a_header(text):
    said = header_text(text)
    assert said.isascii()
    assert said.isprintable() or not said


# -- repositories ---------------------------------------------------------------------------------------------------


def test_every_variant_is_a_repository_and_builds_of_one_name_are_its_commits(hub, held):
    info = hub.get(f"/api/models/{held.model}/tiny").json()
    assert info["sha"] == commit(held.new)
    assert {each["rfilename"] for each in info["siblings"]} == {
        "config.json", "model.safetensors", "sub dir/note.txt"
    }  # fmt: skip
    assert info["variant"]["id"] == held.new.id
    history = hub.get(f"/api/models/{held.model}/tiny/commits/main").json()
    assert [each["id"] for each in history] == [commit(held.new), commit(held.old)]


@pytest.mark.parametrize("revision", ["prod", "refs/heads/prod", "commit", "digest", "bare digest"])
def test_commit_digest_and_alias_mean_the_same(hub, held, revision):
    spelt = {"commit": commit(held.old), "digest": held.old.id, "bare digest": held.old.id[7:]}.get(
        revision, revision
    )
    reply = hub.get(f"/api/models/{held.model}/tiny/revision/{quote(spelt, safe='')}")
    assert reply.json()["sha"] == reply.headers["x-repo-commit"] == commit(held.old)


def test_refs_show_aliases_and_in_a_models_repository_its_variants(hub, held):
    own = {
        each["name"]: each["targetCommit"]
        for each in hub.get(f"/api/models/{held.model}/tiny/refs").json()["branches"]
    }
    assert own == {"main": commit(held.new), "prod": commit(held.old)}
    whole = hub.get(f"/api/models/models/{held.model}/refs?include_prs=1").json()
    names = {each["name"]: each["targetCommit"] for each in whole["branches"]}
    assert names["main"] == commit(held.new), "the newest at the reference precision"
    assert names["wide"] == commit(held.wide)
    assert whole["pullRequests"] == []


def test_an_alias_called_main_is_main(hub, held):
    assert hub.get(f"/api/models/{held.model}/wide").json()["sha"] == commit(held.wide)
    held.workspace.move_alias("main", held.old.id)
    try:
        assert hub.get(f"/api/models/{held.model}/tiny").json()["sha"] == commit(held.old)
        refs = hub.get(f"/api/models/{held.model}/tiny/refs").json()["branches"]
        assert {each["name"]: each["targetCommit"] for each in refs}["main"] == commit(held.old)
        assert hub.get(f"/api/models/{held.model}/wide").json()["sha"] == commit(held.wide)
    finally:
        held.workspace.move_alias("main", held.new.id)


def test_trees_have_one_page_with_folders_and_hashes(hub, held):
    at = f"/api/models/{held.model}/tiny/tree/{commit(held.new)}"
    entries = hub.get(f"{at}?recursive=true&expand=false&unheard=of").json()
    assert [(each["type"], each["path"]) for each in entries] == [
        ("file", "config.json"),
        ("file", "model.safetensors"),
        ("directory", "sub dir"),
        ("file", "sub dir/note.txt"),
    ]
    held_files = {artifact.path: artifact for artifact in held.new.artifacts}
    for entry in entries:
        assert len(entry["oid"]) == 40
        if entry["type"] == "file":
            artifact = held_files[entry["path"]]
            assert (entry["lfs"]["oid"], entry["size"]) == (artifact.sha256, artifact.size)
            text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{artifact.sha256}\nsize {artifact.size}\n"
            blob = f"blob {len(text)}\0{text}".encode()
            assert entry["oid"] == hashlib.sha1(blob).hexdigest(), "what git hashes for the pointer file"
    assert [each["path"] for each in hub.get(at).json()] == ["config.json", "model.safetensors", "sub dir"]
    inside = hub.get(f"{at}/sub%20dir?expand=true").json()
    assert [each["path"] for each in inside] == ["sub dir/note.txt"]
    assert inside[0]["lastCommit"]["id"] == commit(held.new)
    missing = hub.get(f"{at}/additional_chat_templates?recursive=false")
    assert (missing.status_code, missing.headers["x-error-code"]) == (404, "EntryNotFound")


@pytest.mark.parametrize("form", [True, False])
def test_paths_info_takes_a_form_and_json(hub, held, form):
    wanted = {"paths": ["config.json", "absent", "sub dir"], "expand": False}
    body = {"data": {**wanted, "expand": "False"}} if form else {"json": wanted}
    found = hub.post(f"/api/models/{held.model}/tiny/paths-info/main", **body).json()
    assert [each["path"] for each in found] == ["config.json", "sub dir"]
    assert hub.post(f"/api/models/{held.model}/tiny/paths-info/main", content=b"\xff").status_code == 400


def test_listing_filters_sorts_and_pages(hub, held):
    def ids(query: str) -> list[str]:
        return [each["id"] for each in hub.get(f"/api/models?{query}").json()]

    everything = ids("")
    assert {
        f"{held.model}/tiny",
        f"{held.model}/wide",
        f"models/{held.model}",
        f"models/{held.model}-GGUF",
    } <= set(everything)
    assert ids("search=WIDE") == [f"{held.model}/wide"]
    assert ids(f"author={held.model}&filter=quant:fp32") == [f"{held.model}/wide"]
    assert ids("filter=gguf&filter=quant:q4_k_m&search=GGUF") == [f"models/{held.model}-GGUF"]
    assert ids("gated=true") == ids("num_parameters=min:1B") == []
    assert ids("num_parameters=min:1K,max:1B") == everything
    assert ids("sort=createdAt&expand=sha")[-1] != ids("sort=createdAt")[0]
    paged, following = list[str](), "/api/models?limit=2"
    while following:
        reply = hub.get(following)
        paged += [each["id"] for each in reply.json()]
        following = reply.links.get("next", {}).get("url", "")
    assert paged == everything
    assert hub.get("/api/models?limit=x").status_code == 400
    assert hub.get("/api/models?num_parameters=many").status_code == 400


# -- files ----------------------------------------------------------------------------------------------------------


def test_a_name_leads_to_the_commit_and_the_commit_never_changes(hub, held):
    moving = hub.head(f"/{held.model}/tiny/resolve/prod/sub%20dir/note.txt")
    assert moving.status_code == 307
    at = f"/{held.model}/tiny/resolve/{commit(held.old)}/sub%20dir/note.txt"
    assert moving.headers["location"] == at
    (artifact,) = [each for each in held.old.artifacts if each.path == "sub dir/note.txt"]
    for reply in (moving, hub.head(at), hub.get(at)):
        assert reply.headers["x-repo-commit"] == commit(held.old)
        assert reply.headers["etag"] == reply.headers["x-linked-etag"] == f'"{artifact.sha256}"'
        assert reply.headers["x-linked-size"] == str(artifact.size)
        assert reply.headers["accept-ranges"] == "bytes"
        assert "x-xet-hash" not in reply.headers
    assert "immutable" in hub.head(at).headers["cache-control"]
    assert moving.headers["cache-control"] == "no-store"
    assert hub.head(at).headers["content-length"] == str(artifact.size)
    assert hub.get(at).content == b"note 0"
    assert hub.get(at.replace("/resolve/", "/raw/")).content == b"note 0"


def test_ranges_and_conditions(hub, held):
    at = f"/{held.model}/tiny/resolve/{commit(held.new)}/sub%20dir/note.txt"
    part = hub.get(at, headers={"Range": "bytes=2-"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"te 1", "bytes 2-5/6")
    outside = hub.get(at, headers={"Range": "bytes=6-"})
    assert (outside.status_code, outside.headers["content-range"]) == (416, "bytes */6")
    same = hub.get(at, headers={"If-None-Match": hub.head(at).headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["x-repo-commit"] == commit(held.new)


def test_files_beyond_what_clients_fetch_with_a_known_size(hub, held):
    at = f"/{held.model}/huge/resolve/{commit(held.variant('huge'))}/model.gguf"
    (entry,) = hub.get(f"/api/models/{held.model}/huge/tree/main").json()
    assert entry["size"] == entry["lfs"]["size"] == HUGE
    for agent, tells in (
        ("hf/2.4.0; hf_hub/2.4.0", False),
        ("x; hf_hub/1.31.0", False),
        ("x; hf_hub/1.30.9", True),
        ("llama-cpp/1", True),
    ):
        head = hub.head(at, headers={"User-Agent": agent})
        assert head.status_code == 200
        assert ("x-linked-size" in head.headers) == ("content-length" in head.headers) == tells
    tail = hub.get(at, headers={"Range": f"bytes={HUGE - 3}-"})
    assert (tail.content, tail.headers["content-range"]) == (b"\0\0\0", f"bytes {HUGE - 3}-{HUGE - 1}/{HUGE}")


def test_what_a_build_needs_is_said(hub, held):
    said = hub.head(f"/{held.model}/huge/resolve/main/model.gguf").headers["x-hf-warning"]
    assert said == "needs; running this build needs cuda, cc>=8.9"


def test_a_variant_without_files_is_refused_with_the_reason(held):
    known = hub_standing.standing(
        msgspec.structs.replace(held.huge, artifacts=(), id="published:tiny/huge"), {}
    )
    assert known.refused == "tiny/huge is only known from a publication"


# -- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/models/absent/absent", 404, "RepoNotFound"),
        ("/api/models/gpt2", 404, "RepoNotFound"),
        ("/absent/absent/resolve/main/x", 404, "RepoNotFound"),
        ("/datasets/a/b/resolve/main/x", 404, "RepoNotFound"),
        ("/api/models/{m}/tiny/revision/absent", 404, "RevisionNotFound"),
        ("/api/models/{m}/tiny/revision/refs%2Fpr%2F1", 404, "RevisionNotFound"),
        ("/{m}/tiny/resolve/" + "0" * 40 + "/config.json", 404, "RevisionNotFound"),
        ("/{m}/tiny/resolve/plan%3Aon%2024GB/config.json", 404, "RevisionNotFound"),
        ("/{m}/tiny/resolve/main/absent", 404, "EntryNotFound"),
        ("/{m}/tiny/resolve/main", 404, "EntryNotFound"),
        ("/{m}/tiny/resolve/main/..%2f..%2fetc%2fpasswd", 404, "EntryNotFound"),
        ("/api/models/models/{m}-GGUF/revision/dev", 404, "RevisionNotFound"),
        ("/api/models/plans/absent", 404, "RepoNotFound"),
        ("/api/models/{m}/tiny/xet-read-token/main", 404, None),
        ("/api/models/{m}/tiny/auth-check/write", 403, None),
        ("/api/models/models/{m}/revision/plan%3A", 400, None),
        ("/api/models/models/{m}/revision/plan%3A13B%20on%2024GB", 400, None),
        ("/api/models/models/{m}/revision/plan%3Aon%20blargh", 400, None),
        ("/api/models/models/{m}/revision/plan%3Aon%201KB", 403, None),
        ("/api/hub/file", 404, "RepoNotFound"),
    ],
)
def test_refusals_carry_the_code_that_clients_tell_them_by(hub, held, path, status, code):
    reply = hub.get(path.format(m=held.model))
    assert (reply.status_code, reply.headers.get("x-error-code")) == (status, code)
    assert reply.headers["x-error-message"] == reply.json()["error"] != ""
    assert reply.headers["x-request-id"]
    assert ("x-repo-commit" in reply.headers) == (code == "EntryNotFound")


def test_what_is_near_is_named(hub, held):
    assert f"{held.model}/wide" in hub.get(f"/api/models/{held.model}/absent").json()["error"]
    assert "wide" in hub.get(f"/api/models/models/{held.model}/revision/absent").json()["error"]


def test_lost_bytes_are_not_a_missing_repository(hub, held):
    place = held.workspace.store.path(held.wide.artifacts[0].sha256)
    assert place is not None
    away = place.rename(place.with_suffix(".away"))
    try:
        reply = hub.get(f"/{held.model}/wide/resolve/{commit(held.wide)}/{held.wide.artifacts[0].path}")
        assert (reply.status_code, reply.headers.get("x-error-code")) == (503, None)
    finally:
        away.rename(place)


def test_a_foreign_host_is_refused(hub, held):
    reply = hub.get(f"/api/models/{held.model}/tiny", headers={"Host": "evil.example"})
    assert reply.status_code == 403


def test_the_dashboard_keeps_its_pages(hub):
    for path in ("/", "/variants/some/thing", "/plans/0198"):
        assert hub.get(path, headers={"Accept": "text/html"}).headers["content-type"].startswith("text/html")


def test_who_asks_is_not_told_apart(hub, held):
    assert hub.get("/api/whoami-v2").json()["auth"]["accessToken"]["role"] == "read"
    assert hub.get(f"/api/models/{held.model}/tiny/auth-check").status_code == 200


# -- GGUF files gathered --------------------------------------------------------------------------------------------


def test_the_gguf_files_of_a_model_are_gathered_by_quantization(hub, held):
    at = f"models/{held.model}-GGUF"
    now = hub.get(f"/api/models/{at}").json()
    paths = {each["rfilename"]: each["lfs"]["sha256"] for each in now["siblings"]}
    assert set(paths) == {
        f"{held.model}-Q4_K_M.gguf",
        f"{held.model}-Q5_K_M-00001-of-00002.gguf",
        f"{held.model}-Q5_K_M-00002-of-00002.gguf",
        f"{held.model}-Q8_0.gguf",
        "mmproj-f16.gguf",
    }
    assert paths[f"{held.model}-Q4_K_M.gguf"] == hashlib.sha256(b"second").hexdigest(), "the newest of each"
    refs = hub.get(f"/api/models/{at}/refs").json()["branches"]
    assert refs == [{"name": "main", "ref": "refs/heads/main", "targetCommit": now["sha"]}]
    file = hub.get(f"/{at}/resolve/{now['sha']}/{held.model}-Q4_K_M.gguf")
    assert file.content == b"second"


def test_commits_of_gathered_files_stay_valid(hub, held):
    at = f"models/{held.model}-GGUF"
    before = hub.get(f"/api/models/{at}").json()["sha"]
    late = variant_of("late", {"late.gguf": stored(held.workspace, b"late")}, minutes=9, label="q6_k")
    with held.workspace.registry.write() as tx:
        variants.register(tx, msgspec.structs.replace(late, model_id=held.model))
    after = hub.get(f"/api/models/{at}").json()
    assert after["sha"] != before
    assert f"{held.model}-Q6_K.gguf" in {each["rfilename"] for each in after["siblings"]}
    old = hub.get(f"/api/models/{at}/tree/{before}").json()
    assert f"{held.model}-Q6_K.gguf" not in {each["path"] for each in old}


# -- plans ----------------------------------------------------------------------------------------------------------


def ask(hub: TestClient[Litestar], held: Held, question: str, agent: str = "tests"):
    path = f"/api/models/models/{held.model}/revision/{quote('plan:' + question, safe='')}"
    return hub.get(path, headers={"User-Agent": agent})


def test_a_question_is_a_revision_and_the_answer_says_why(hub, held):
    reply = ask(hub, held, "on 24GB, bf16, smallest")
    assert reply.status_code == 200
    chosen = reply.json()["variant"]["id"]
    assert chosen in {held.old.id, held.new.id}
    assert reply.json()["sha"] == reply.headers["x-repo-commit"] == chosen[7:47]
    topic, _, message = reply.headers["x-hf-warning"].partition("; ")
    plan_id = reply.json()["variant"]["plan"]
    assert topic == "plan"
    assert plan_id in message
    assert chosen[7:19] in message
    plan = held.workspace.plan(plan_id)
    assert plan.scenario.model.value == held.model, "the repository pins the model"


def test_a_load_keeps_what_was_decided_for_it(hub, held, monkeypatch):
    question, agent = "on 24GB, fp32, smallest", "keeper; hf_hub/2.4.0"
    first = ask(hub, held, question, agent).json()
    again = ask(hub, held, question, agent)
    assert again.json()["variant"]["plan"] == first["variant"]["plan"]
    assert "stays at" in again.headers["x-hf-warning"]
    other = ask(hub, held, "on 23GB, fp32, smallest", agent).json()
    assert other["variant"]["plan"] != first["variant"]["plan"], "another question"
    library = ask(hub, held, question, "library/1; hf_hub/2.4.0").json()
    assert library["variant"]["plan"] == first["variant"]["plan"], "another part of the same load"
    # The files, asked for by commit, belong to the same load.
    hub.get(f"/models/{held.model}/resolve/{first['sha']}/config.json", headers={"User-Agent": agent})
    (row,) = [
        each
        for each in held.workspace.downloads().items
        if each.user_agent == agent and each.plan_id == first["variant"]["plan"]
    ]
    assert (row.repository, row.revision) == (f"models/{held.model}", f"plan:{question}")
    assert (row.variant_id, row.plan_id, row.client) == (held.wide.id, first["variant"]["plan"], "testclient")
    real = held.workspace.now
    monkeypatch.setattr(held.workspace, "now", lambda: real() + serving_rules.PAUSE + timedelta(seconds=1))
    assert ask(hub, held, question, agent).json()["variant"]["plan"] != first["variant"]["plan"], (
        "another load"
    )


def test_a_client_that_never_pauses_follows_the_evidence_in_the_end(hub, held, monkeypatch):
    question, agent = "on 24GB, fp32, fastest", "busy"
    first = ask(hub, held, question, agent).json()["variant"]["plan"]
    real = held.workspace.now
    plans = []
    for minutes in range(9, 80, 9):
        monkeypatch.setattr(
            held.workspace, "now", lambda minutes=minutes: real() + timedelta(minutes=minutes)
        )
        plans.append(ask(hub, held, question, agent).json()["variant"]["plan"])
        hub.get(
            f"/models/{held.model}/resolve/{commit(held.wide)}/config.json", headers={"User-Agent": agent}
        )
        held.workspace.record_download(
            Load(client="testclient", user_agent=agent, repository=f"models/{held.model}", revision="x"),
            variant_id=held.wide.id,
        )
    assert plans[0] == first
    assert plans[-1] != first


def test_a_preset_and_a_stored_plan_are_repositories(hub, held):
    preset = held.workspace.presets()[0].id
    by_preset = hub.get(f"/api/models/plans/{preset}", headers={"User-Agent": "preset"})
    assert by_preset.status_code in {200, 403}, by_preset.text
    plan_id = ask(hub, held, "on 24GB, fp32", "stored").json()["variant"]["plan"]
    for path in (f"/api/models/plans/{plan_id}", f"/api/models/plans/{plan_id}/revision/main"):
        assert hub.get(path).json()["sha"] == commit(held.wide)
    refs = hub.get(f"/api/models/plans/{plan_id}/refs").json()["branches"]
    assert [each["targetCommit"] for each in refs] == [commit(held.wide)]
    file = hub.head(f"/plans/{plan_id}/resolve/main/config.json")
    assert file.headers["location"] == f"/plans/{plan_id}/resolve/{commit(held.wide)}/config.json"
    assert hub.get(file.headers["location"]).status_code == 200
    assert hub.get(f"/api/models/plans/{plan_id}/revision/dev").headers["x-error-code"] == "RevisionNotFound"


def test_what_nothing_satisfies_is_refused_with_what_would_help(hub, held):
    reply = ask(hub, held, "on 1KB")
    assert reply.status_code == 403
    assert "memory" in reply.json()["error"]
    assert "in place of" in reply.json()["error"]


def test_downloads_are_logged_once_by_the_name_they_were_asked_by(hub, held):
    agent = {"User-Agent": "log; hf_hub/2.4.0"}
    hub.get(f"/api/models/{held.model}/tiny/revision/prod", headers=agent)
    for path in ("config.json", "model.safetensors", "sub%20dir/note.txt"):
        hub.get(f"/{held.model}/tiny/resolve/{commit(held.old)}/{path}", headers=agent)
    hub.head(f"/{held.model}/tiny/resolve/{commit(held.new)}/config.json", headers=agent)
    listed = hub.get(f"/api/v1/downloads?variant={held.old.id}").json()["items"]
    (row,) = [each for each in listed if each["user_agent"] == agent["User-Agent"]]
    assert (row["repository"], row["revision"], row["plan_id"]) == (f"{held.model}/tiny", "prod", None)
    assert hub.get(f"/api/models/{held.model}/tiny").json()["downloads"] >= 1
    assert hub.get("/api/v1/downloads?absent=1").status_code == 422
