"""What a stock huggingface_hub of any release from 0.20 on sees of an endpoint. Run in a process of its own.

Prints one JSON document; knows nothing of this project, so that it can run in an environment that has nothing else.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import huggingface_hub as hub
from huggingface_hub import utils

errors: Any = utils  # the one place that has them in every release, which newer ones do not declare


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def refused(call, *args, **options):
    try:
        call(*args, **options)
    except (errors.EntryNotFoundError, errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        return type(error).__name__
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        return f"{type(error).__name__}: {error}"
    return "nothing"


def main(repository, alias, question, file):
    api: Any = hub.HfApi()  # what it returns is typed otherwise in every release
    info = api.model_info(repository)
    with_sizes = api.model_info(repository, files_metadata=True)
    refs = api.list_repo_refs(repository)
    whole = hub.snapshot_download(repository)
    by_alias = hub.snapshot_download(repository, revision=alias)
    by_plan = hub.snapshot_download(f"models/{repository.partition('/')[0]}", revision=question)
    one = hub.hf_hub_download(repository, file)
    metadata = hub.get_hf_file_metadata(hub.hf_hub_url(repository, file, revision=info.sha))
    tree = list(api.list_repo_tree(repository, recursive=True))
    return {
        "version": hub.__version__,
        "sha": info.sha,
        "siblings": {each.rfilename: each.size for each in with_sizes.siblings},
        "sibling_hashes": {each.rfilename: each.lfs["sha256"] for each in with_sizes.siblings},
        "listed": sorted(each.id for each in api.list_models()),
        "searched": sorted(each.id for each in api.list_models(search="wide")),
        "filtered": sorted(each.id for each in api.list_models(filter="quant:fp32")),
        "tree": sorted(each.path for each in tree),
        "top": sorted(each.path for each in api.list_repo_tree(repository)),
        "tree_hashes": {each.path: each.lfs["sha256"] for each in tree if getattr(each, "lfs", None)},
        "files": sorted(api.list_repo_files(repository)),
        "paths_info": [each.path for each in api.get_paths_info(repository, [file, "absent"])],
        "branches": {branch.name: branch.target_commit for branch in refs.branches},
        "commits": [commit.commit_id for commit in api.list_repo_commits(repository)],
        "exists": [
            api.repo_exists(repository),
            api.file_exists(repository, file),
            api.file_exists(repository, "no"),
        ],
        "snapshot": digests(whole),
        "snapshot_commit": Path(whole).name,
        "alias_commit": Path(by_alias).name,
        "plan_commit": Path(by_plan).name,
        "plan": digests(by_plan),
        "one": hashlib.sha256(Path(one).read_bytes()).hexdigest(),
        "metadata": [metadata.commit_hash, metadata.etag, metadata.size],
        "no_repository": refused(hub.snapshot_download, "absent/absent"),
        "no_revision": refused(hub.snapshot_download, repository, revision="absent"),
        "no_pull_request": refused(hub.hf_hub_download, repository, file, revision="refs/pr/1"),
        "no_entry": refused(hub.hf_hub_download, repository, "absent.bin"),
        "no_answer": refused(
            hub.snapshot_download, f"models/{repository.partition('/')[0]}", revision="plan:on 1KB"
        ),
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
