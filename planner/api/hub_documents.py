"""JSON of the Hugging Face protocol: repositories, trees, refs and commits. Pure.

Every file is described as one in large-file storage, since its sha256 is what is known: `oid` is then the git hash of the
pointer file that git would hold (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md), and clients that verify a
download compare the sha256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from planner.api.hub_names import GGUF_SUFFIX, commit_of
from planner.api.hub_repositories import Kind, Repository, created
from planner.api.hub_revisions import Snapshot, branches
from planner.domain.variant import Artifact, FileFormat, Variant

Json = dict[str, Any]


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _pointer(artifact: Artifact) -> bytes:
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{artifact.sha256}\nsize {artifact.size}\n"
    return text.encode()


def _git_hash(kind: str, content: bytes) -> str:
    return hashlib.sha1(
        b"%s %d\0" % (kind.encode(), len(content)) + content, usedforsecurity=False
    ).hexdigest()


def _commit_title(variant: Variant) -> str:
    return f"{variant.model_id}/{variant.name}"


def file_entry(path: str, artifact: Artifact) -> Json:
    """Return a file of a tree."""
    pointer = _pointer(artifact)
    return {
        "type": "file",
        "path": path,
        "size": artifact.size,
        "oid": _git_hash("blob", pointer),
        "lfs": {"oid": artifact.sha256, "size": artifact.size, "pointerSize": len(pointer)},
    }


def _folder_entry(path: str, snapshot: Snapshot) -> Json:
    inside = sorted(each for each in snapshot.files if each.startswith(f"{path}/"))
    content = "".join(f"{each} {snapshot.files[each][0].sha256}\n" for each in inside)
    return {"type": "directory", "path": path, "size": 0, "oid": _git_hash("tree", content.encode())}


def _expanded(entry: Json, snapshot: Snapshot, variant: Variant | None) -> Json:
    if snapshot.title is not None:
        own = {"id": snapshot.commit, "title": snapshot.title, "date": _time(snapshot.created_at)}
        return {**entry, "lastCommit": own}
    last = variant or snapshot.variant
    commit = snapshot.commit if last is None else commit_of(last.id)
    title = snapshot.repository.id if last is None else _commit_title(last)
    when = snapshot.created_at if last is None else created(last)
    return {**entry, "lastCommit": {"id": commit, "title": title, "date": _time(when)}}


def _folders(snapshot: Snapshot) -> set[str]:
    return {
        "/".join(parts[:depth])
        for parts in (path.split("/") for path in snapshot.files)
        for depth in range(1, len(parts))
    }


def tree(snapshot: Snapshot, folder: str, *, recursive: bool, expand: bool) -> list[Json] | None:
    """Return everything in a folder, on one page; None when there is no such folder."""
    folders = _folders(snapshot)
    if folder and folder not in folders:
        return None
    start = f"{folder}/" if folder else ""
    paths = {path for path in (*snapshot.files, *folders) if path.startswith(start)}
    if not recursive:
        paths = {path for path in paths if "/" not in path[len(start) :]}
    return entries(snapshot, sorted(paths), expand=expand)


def entries(snapshot: Snapshot, paths: Iterable[str], *, expand: bool) -> list[Json]:
    """Return those of `paths` that exist, files and folders."""
    folders = _folders(snapshot)
    found: list[Json] = []
    for path in paths:
        held = snapshot.files.get(path)
        if held is None and path not in folders:
            continue
        entry = file_entry(path, held[0]) if held else _folder_entry(path, snapshot)
        found.append(_expanded(entry, snapshot, held[1] if held else None) if expand else entry)
    return found


def tags(repository: Repository, aliases: Iterable[str] = ()) -> list[str]:
    """Return what a repository can be filtered by."""
    model = repository.model
    variants = repository.variants
    if repository.kind is Kind.PUSHED and model is None:
        return [f"kind:{Kind.PUSHED.value}"]
    if repository.kind is Kind.PLAN or model is None:
        return ["transformers", "plan"]
    found = [variant.file_format.value for variant in variants] + [
        f"quant:{variant.scheme.name}" for variant in variants
    ]
    if any(variant.file_format is FileFormat.SAFETENSORS for variant in variants):
        found.append("transformers")
    found += [f"model:{model.id}", f"kind:{repository.kind.value}"]
    if model.hub_id:
        found += [f"base_model:{model.hub_id}", f"base_model:quantized:{model.hub_id}"]
    if model.license:
        found.append(f"license:{model.license}")
    return [*dict.fromkeys(found), *(f"alias:{name}" for name in aliases)]


def summary(repository: Repository, *, downloads: int) -> Json:
    """Return a repository as it is listed."""
    since = repository.created_at or created(repository.variants[-1])
    changed = repository.modified_at or created(repository.variants[0])
    marks = tags(repository)
    return {
        "_id": hashlib.sha256(repository.id.encode()).hexdigest()[:24],
        "id": repository.id,
        "modelId": repository.id,
        "author": repository.id.partition("/")[0],
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": downloads,
        "likes": 0,
        "tags": marks,
        "pipeline_tag": "text-generation",
        "library_name": "gguf" if "gguf" in marks else "transformers",
        "createdAt": _time(since),
        "lastModified": _time(changed),
    }


def info(snapshot: Snapshot, *, aliases: Iterable[str], downloads: int) -> Json:
    """Return a repository at a commit, with its files."""
    repository, variant = snapshot.repository, snapshot.variant
    shown = summary(repository, downloads=downloads)
    siblings: list[Json] = []
    for path, (artifact, _) in sorted(snapshot.files.items()):
        entry = file_entry(path, artifact)
        lfs = {"sha256": artifact.sha256, "size": artifact.size, "pointerSize": entry["lfs"]["pointerSize"]}
        siblings.append({"rfilename": path, "size": artifact.size, "blobId": entry["oid"], "lfs": lfs})
    shown |= {
        "sha": snapshot.commit,
        "lastModified": _time(snapshot.created_at),
        "tags": tags(repository, aliases),
        "siblings": siblings,
        "usedStorage": sum(artifact.size for artifact, _ in snapshot.files.values()),
    }
    model = repository.model
    if model is not None:
        card = {"base_model": model.hub_id, "license": model.license}
        shown["cardData"] = {key: value for key, value in card.items() if value is not None}
    if variant is not None:
        shown["variant"] = {
            "id": variant.id,
            "model": variant.model_id,
            "name": variant.name,
            "scheme": variant.scheme.name,
            "effective_bits": variant.effective_bits,
            "weight_bytes": int(variant.weight_bytes.value),
            "plan": snapshot.plan_id,
        }
    return shown


def refs(repository: Repository, main: str | None, named: Mapping[str, Variant]) -> Json:
    """Return the branches of a repository: its own, and the aliases in `named`, which go before them."""
    targets: dict[str, str] = {} if main is None else {"main": main}
    targets |= {name: commit_of(variant.id) for name, variant in branches(repository).items()}
    targets |= {name: commit_of(variant.id) for name, variant in named.items()}
    return {
        "branches": [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
            for name, commit in targets.items()
        ],
        "converts": [],
        "tags": [],
        "pullRequests": [],
    }


def commits(snapshot: Snapshot) -> list[Json]:
    """Return a commit and those before it. Who made them is not known, so they have no authors."""
    variants = snapshot.repository.variants
    if snapshot.variant is not None and snapshot.repository.kind is Kind.PLAN:
        variants = (snapshot.variant,)
    elif snapshot.variant is not None and snapshot.variant in variants:
        variants = variants[variants.index(snapshot.variant) :]
    if snapshot.variant is None:
        title = f"{snapshot.repository.id.removesuffix(GGUF_SUFFIX)}: {len(snapshot.files)} files"
        return [commit_entry(snapshot.commit, title, snapshot.created_at)]
    return [commit_entry(commit_of(each.id), _commit_title(each), created(each)) for each in variants]


def commit_entry(
    commit: str, title: str, when: datetime, *, message: str = "", author: str | None = None
) -> Json:
    """Return a commit as it is listed; without an author where nobody knows who made it."""
    authors = [] if author is None else [{"user": author}]
    return {"id": commit, "title": title, "message": message, "authors": authors, "date": _time(when)}
