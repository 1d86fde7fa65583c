"""Pushed repositories on both databases: refs move with their commits, and announcements hold registration back."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select

from planner.domain.upload import MAIN, AddFile, Delete
from planner.domain.variant import Artifact
from planner.errors import Conflict, InvalidInput, NotFound
from planner.registry import models, uploads, variants
from planner.registry.upload_tables import PushedTrees

REPOSITORY = "Acme/Model"


def add(path: str, digit: str = "1") -> AddFile:
    return AddFile(artifact=Artifact(path=path, size=3, sha256=digit * 64))


@pytest.fixture
def commit(registry, make):
    def make_commit(*operations, branch=MAIN, parent=None, summary="s", id_=REPOSITORY):
        with registry.write() as tx:
            return uploads.add_commit(
                tx,
                id_,
                branch,
                operations,
                summary=summary,
                description="",
                author="me",
                parent=parent,
                now=make.now,
            )

    with registry.write() as tx:
        uploads.create(tx, REPOSITORY, author="me", now=make.now)
    return make_commit


def head(registry, revision=MAIN):
    with registry.read() as tx:
        return uploads.head(tx, REPOSITORY, revision)


def test_a_repository_is_made_once_in_any_letter_case(registry, make, commit):
    with registry.write() as tx:
        again, created = uploads.create(tx, "acme/MODEL", author="me", now=make.now)
        assert (again.id, created) == (REPOSITORY, False)
        assert [each.id for each in uploads.every(tx)] == [REPOSITORY]
        assert uploads.find(tx, "acme/other") is None
        with pytest.raises(NotFound, match=r"nearest: `Acme/Model`"):
            uploads.get(tx, "acme/modle")
        with pytest.raises(InvalidInput):
            uploads.create(tx, "acme", author="me", now=make.now)
    first = head(registry)
    assert (first.parent, first.summary) == (None, "initial commit")


def test_commits_follow_each_other(registry, commit):
    one, created = commit(add("a"), add("b"))
    assert created
    two, _ = commit(Delete(path="a"), parent=one.id[:7])
    assert two.parent == one.id
    same, created = commit(add("b"), summary="other words")
    assert (same.id, created) == (two.id, False), "what changes nothing is no commit"
    with pytest.raises(uploads.StaleParent, match=f"at {two.id}") as refused:
        commit(add("c"), parent=one.id)
    assert refused.value.details == {"current": two.id}
    with registry.read() as tx:
        assert [each.path for each in uploads.files(tx, two.tree)] == ["b"]
        assert len(uploads.commits(tx, REPOSITORY)) == 3
        assert uploads.head(tx, REPOSITORY, one.id) == one
        assert uploads.head(tx, REPOSITORY, "absent") is None


def test_what_is_refused_changes_nothing(registry, commit):
    before = head(registry)
    for operations, error in (
        ([add("a"), add("a", "2")], InvalidInput),
        ([Delete(path="absent")], NotFound),
        ([Delete(path="a", folder=True)], NotFound),
    ):
        with pytest.raises(error):
            commit(*operations)
    with pytest.raises(NotFound, match="branch"):
        commit(add("a"), branch="absent")
    with pytest.raises(NotFound, match="repository"):
        commit(add("a"), id_="acme/absent")
    with pytest.raises(InvalidInput):
        commit(add("a"), summary="nul \0")
    assert head(registry) == before


def test_branches_and_tags(registry, commit):
    one, _ = commit(add("a"))
    with registry.write() as tx:
        assert uploads.add_ref(tx, REPOSITORY, "next", one.id, is_tag=False)
        assert not uploads.add_ref(tx, REPOSITORY, "next", one.id, is_tag=False)
        assert uploads.add_ref(tx, REPOSITORY, "next", one.id, is_tag=True, message="a tag of that name")
    two, _ = commit(add("b"), branch="next")
    assert head(registry, "next").id == head(registry, "refs/heads/next").id == two.id
    assert head(registry, "refs/tags/next").id == one.id
    assert head(registry).id == one.id
    with registry.write() as tx:
        assert [(ref.name, ref.is_tag) for ref in uploads.refs(tx, REPOSITORY)] == [
            ("main", False),
            ("next", False),
            ("next", True),
        ]
        assert uploads.drop_ref(tx, REPOSITORY, "next", is_tag=False)
        assert not uploads.drop_ref(tx, REPOSITORY, "next", is_tag=False)
    assert head(registry, "next").id == one.id
    assert head(registry, two.id) == two, "a commit outlives its branch"


def test_files_are_awaited_until_they_are_committed(registry, make, commit):
    with registry.write() as tx:
        uploads.announce(tx, REPOSITORY, MAIN, ["a", "b", "b", "c"], now=make.now)
        uploads.announce(tx, REPOSITORY, "next", ["z"], now=make.now)
        uploads.announce(tx, REPOSITORY, MAIN, ["a"], now=make.now)

    def awaited(now=make.now):
        with registry.read() as tx:
            return uploads.awaited(tx, REPOSITORY, "refs/heads/main", now=now)

    assert awaited() == ["a", "b", "c"]
    commit(add("a"), add("other"))
    assert awaited() == ["b", "c"]
    with registry.write() as tx:
        uploads.withdraw(tx, REPOSITORY, MAIN, ["b"])
    assert awaited() == ["c"]
    assert awaited(make.now + timedelta(hours=25)) == []
    with registry.write() as tx:
        uploads.announce(tx, REPOSITORY, "next", [], now=make.now + timedelta(hours=25))
    assert awaited() == [], "old announcements are dropped"


def test_a_dropped_repository_leaves_other_ones_their_files(registry, make, commit):
    one, _ = commit(add("a"))
    with registry.write() as tx:
        uploads.create(tx, "acme/other", author="me", now=make.now)
    commit(add("a"), id_="acme/other")
    commit(add("only", "2"))
    with registry.write() as tx:
        uploads.note(tx, REPOSITORY, one.id, variant_id="sha256:" + "3" * 64, reason=None)
        assert uploads.registered(tx) == {"acme/model": ("sha256:" + "3" * 64,)}
        uploads.drop(tx, REPOSITORY)
        trees = tx.connection.execute(select(PushedTrees.files)).scalars()
        assert {file.sha256 for files in trees for file in files} == {"1" * 64}
        assert [each.id for each in uploads.every(tx)] == ["acme/other"]
        with pytest.raises(NotFound):
            uploads.drop(tx, REPOSITORY)


def test_writers_at_once_lose_nothing(registry, make, commit):
    parent = head(registry).id
    outcomes: list[str] = []

    def write(number: int) -> None:
        try:
            commit(add(f"locked-{number}"), parent=parent)
            outcomes.append("made")
        except Conflict:
            outcomes.append("stale")
        commit(add(f"free-{number}"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with registry.read() as tx:
        last = uploads.head(tx, REPOSITORY, MAIN)
        assert last is not None
        paths = [each.path for each in uploads.files(tx, last.tree)]
    assert [path for path in paths if path.startswith("free")] == [f"free-{number}" for number in range(6)]
    assert outcomes.count("made") == len([path for path in paths if path.startswith("locked")]) <= 1


def test_a_pushed_commit_is_a_name_of_its_variant(registry, make, commit):
    with registry.write() as tx:
        models.put(tx, make.model())
        one = make.variant("int8")
        variants.register(tx, one)
        pushed = uploads.head(tx, REPOSITORY, MAIN)
        assert pushed is not None
        uploads.note(tx, REPOSITORY, pushed.id, variant_id=one.id, reason=None)
        uploads.add_ref(tx, REPOSITORY, "v1", pushed.id, is_tag=True)
    with registry.read() as tx:
        digest = one.id.removeprefix("sha256:")
        for name in (
            REPOSITORY,
            "acme/model",
            f"{REPOSITORY}@main",
            f"{REPOSITORY}@v1",
            f"{REPOSITORY}@{pushed.id}",
            f"tiny-1b/int8@{digest[:40]}",
        ):
            assert variants.get(tx, name).id == one.id, name
        for name in (
            f"{REPOSITORY}@v2",
            f"tiny-1b/other@{digest[:40]}",
            "acme/none",
            f"{REPOSITORY}@",
            "a/b/c@main",
        ):
            with pytest.raises(NotFound):
                variants.get(tx, name)
