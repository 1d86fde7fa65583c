from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.upload import (
    AddFile,
    Delete,
    applied,
    check_pushed_path,
    check_ref_name,
    check_repository_id,
    commit_id,
    is_same_commit,
    tree_digest,
)
from planner.domain.variant import Artifact
from planner.errors import InvalidInput, NotFound


def file(path: str, digit: str = "0") -> Artifact:
    return Artifact(path=path, size=1, sha256=digit * 64)


def add(path: str, digit: str = "0") -> AddFile:
    return AddFile(artifact=file(path, digit))


PATHS = st.text(st.sampled_from("abc/."), min_size=1, max_size=8).filter(
    lambda path: all(part not in {"", ".", ".."} for part in path.split("/"))
)


@given(st.lists(st.tuples(PATHS, st.sampled_from("0123")), max_size=8), st.sets(PATHS, max_size=4))
def test_a_commit_leaves_what_it_says(added: list[tuple[str, str]], deleted: set[str]) -> None:
    tree = tuple(file(path, "f") for path in sorted(deleted))
    operations = [Delete(path=path) for path in deleted] + [add(*each) for each in added]
    paths = [path for path, _ in added]
    try:
        left = applied(tree, operations)
    except InvalidInput:
        clashes = any(one.startswith(f"{two}/") for one in paths for two in paths)
        assert clashes or len(set(paths)) < len(paths)
        return
    assert {each.path: each.sha256[0] for each in left} == dict(added)
    assert list(left) == sorted(left, key=lambda each: each.path)


def test_deletions_go_first_and_folders_with_all_in_them() -> None:
    tree = (file("a/b/c"), file("a/d"), file("ab"))
    assert applied(tree, [Delete(path="a", folder=True)]) == (file("ab"),)
    assert applied(tree, [add("a", "1"), Delete(path="a/", folder=True)]) == (file("a", "1"), file("ab"))
    for missing in (Delete(path="a"), Delete(path="d", folder=True), Delete(path="a/d/e")):
        with pytest.raises(NotFound):
            applied(tree, [missing])


def test_a_path_is_file_or_folder_once() -> None:
    with pytest.raises(InvalidInput, match="added twice"):
        applied((), [add("a"), add("a", "1")])
    with pytest.raises(InvalidInput, match="`a` is a file"):
        applied((file("a"),), [add("a/b")])
    with pytest.raises(InvalidInput, match="too many"):
        applied((), [add(f"f{number}") for number in range(10_001)])


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/a",
        "../a",
        "a/../b",
        "a\\b",
        "a\x00b",
        "a//b",
        ".git/config",
        "x/.GIT/y",
        ".git",
        "a\nb",
        ".",
        "C:/a",
        ".git./config",
        "git~1/config",
    ],
)
def test_paths_stay_in_the_repository(path: str) -> None:
    with pytest.raises(InvalidInput):
        check_pushed_path(path)
    with pytest.raises(InvalidInput):
        applied((), [AddFile(artifact=file(path))])


@pytest.mark.parametrize("path", ["a", ".gitattributes", ".gitignore", "sub dir/näme.txt", "a.git/b", "..a"])
def test_other_paths_are_taken(path: str) -> None:
    assert check_pushed_path(path) == path


@pytest.mark.parametrize(
    "id_",
    ["", "a", "a/b/c", "a/", "/b", "a--b/c", "a/b..c", "a/b.git", "a b/c", "a/-b", "ü/b", "a/" + "b" * 95],
)
def test_ids_that_clients_refuse_are_refused(id_: str) -> None:
    with pytest.raises(InvalidInput, match="OWNER/NAME"):
        check_repository_id(id_)


@pytest.mark.parametrize("id_", ["a/b", "acme/Llama-3.1-8B_int4", "0/1"])
def test_ids_that_clients_take_are_taken(id_: str) -> None:
    assert check_repository_id(id_) == id_


@pytest.mark.parametrize(
    "name", ["", "refs/heads/a", "a" * 40, "a..b", "a/", "-a", "a b", "a.lock", "a//b", "a@{1}"]
)
def test_refs_are_named_as_git_allows(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot name a branch"):
        check_ref_name(name)


def test_a_commit_is_named_by_what_it_holds_follows_and_says() -> None:
    said: dict[str, Any] = {
        "repository": "a/b",
        "parent": None,
        "tree": tree_digest([file("a")]),
        "summary": "s",
        "description": "",
    }
    one = commit_id(**said)
    assert len(one) == 40
    assert commit_id(**(said | {"repository": "A/B"})) == one
    others = [
        commit_id(**(said | {field: value}))
        for field, value in (
            ("parent", one),
            ("tree", tree_digest([])),
            ("summary", "t"),
            ("description", "d"),
        )
    ]
    assert len({one, *others}) == 5
    assert is_same_commit(one[:7].upper(), one)
    assert not is_same_commit(one[:6], one)
