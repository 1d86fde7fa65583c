"""What a stock huggingface_hub of any release from 0.20 on can push to an endpoint. Run in a process of its own.

Prints one JSON document; knows nothing of this project, so that it can run in an environment that has nothing else.
"""

import hashlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import huggingface_hub as hub
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, utils

errors: Any = utils  # the one place that has them in every release, which newer ones do not declare


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and ".cache" not in path.parts
    }


def refused(call, *args, **options):
    try:
        call(*args, **options)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        response = getattr(error, "response", None)
        return [type(error).__name__, getattr(response, "status_code", None), str(error)]
    return ["nothing", None, ""]


def main(repository, folder):
    api: Any = hub.HfApi()  # what it returns is typed otherwise in every release
    url = api.create_repo(repository, exist_ok=True)
    again = api.create_repo(repository, exist_ok=True)
    with warnings.catch_warnings(record=True):
        first = api.upload_folder(repo_id=repository, folder_path=folder, commit_message="push the model")
    whole = hub.snapshot_download(repository)
    by_commit = hub.snapshot_download(repository, revision=first.oid)
    repeated = api.upload_folder(repo_id=repository, folder_path=folder, commit_message="push the model")
    note = api.upload_file(
        repo_id=repository, path_or_fileobj=b"a note", path_in_repo="notes/a.txt", commit_message="a note"
    )
    stale = refused(
        api.create_commit,
        repo_id=repository,
        operations=[CommitOperationAdd("b.txt", b"b")],
        commit_message="too late",
        parent_commit=first.oid,
    )
    on_time = api.create_commit(
        repo_id=repository,
        operations=[CommitOperationAdd("notes/b.txt", b"b"), CommitOperationDelete("notes/a.txt")],
        commit_message="in time",
        commit_description="and why",
        parent_commit=note.oid,
    )
    api.create_tag(repository, tag="v1", tag_message="the first")
    tag_again = refused(api.create_tag, repository, tag="v1")
    api.create_branch(repository, branch="next")
    api.create_branch(repository, branch="next", exist_ok=True)
    branch = api.upload_file(
        repo_id=repository,
        path_or_fileobj=b"later",
        path_in_repo="later.txt",
        revision="next",
        commit_message="on a branch",
    )
    api.delete_folder("notes", repository, commit_message="no notes")
    no_file = refused(api.delete_file, "absent.txt", repository)
    pickle = refused(
        api.upload_file, repo_id=repository, path_or_fileobj=b"\x80\x04N.", path_in_repo="model.bin"
    )
    hidden_pickle = refused(
        api.upload_file, repo_id=repository, path_or_fileobj=b"\x80\x04N.", path_in_repo="notes.txt"
    )
    pull_request = refused(
        api.upload_file,
        repo_id=repository,
        path_or_fileobj=b"x",
        path_in_repo="x.txt",
        create_pr=True,
    )
    refs = api.list_repo_refs(repository)
    api.delete_tag(repository, tag="v1")
    api.delete_branch(repository, branch="next")
    main_kept = refused(api.delete_branch, repository, branch="main")
    last = api.list_repo_refs(repository)
    return {
        "version": hub.__version__,
        "url": str(url),
        "again": str(again),
        "first": first.oid,
        "repeated": repeated.oid,
        "snapshot": digests(whole),
        "by_commit": digests(by_commit),
        "note": note.oid,
        "stale": stale,
        "on_time": on_time.oid,
        "tag_again": tag_again,
        "no_file": no_file,
        "pickle": pickle,
        "hidden_pickle": hidden_pickle,
        "pull_request": pull_request,
        "branch": branch.oid,
        "branches": {ref.name: ref.target_commit for ref in refs.branches},
        "tags": {ref.name: ref.target_commit for ref in refs.tags},
        "main_kept": main_kept,
        "last_refs": [ref.name for ref in [*last.branches, *last.tags]],
        "history": [commit.title for commit in api.list_repo_commits(repository)],
        "files": sorted(api.list_repo_files(repository)),
        "missing_repository": refused(
            api.upload_file, repo_id="acme/absent", path_or_fileobj=b"x", path_in_repo="x.txt"
        ),
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
