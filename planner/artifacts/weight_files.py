"""Which files of a variant hold its weights, and whether they are all there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

import msgspec

from planner.artifacts.headers.tensor import StoredTensor
from planner.artifacts.json_document import is_object, read_json_object
from planner.errors import InvalidFile

INDEX: Final = "model.safetensors.index.json"
_SINGLE: Final = "model.safetensors"
_MAX_INDEX_BYTES: Final = 100_000_000
_SHARD: Final = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.(safetensors|gguf)")

Files = Mapping[str, Path]


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """`model.safetensors.index.json`: which tensor is in which shard, and the total it announces."""

    weight_map: Mapping[str, str]
    total_size: int | None


def named(files: Files, ending: str) -> list[str]:
    """Return the paths that end in `ending`, sorted."""
    return sorted(label for label in files if label.lower().endswith(ending))


def read_index(files: Files) -> Index | None:
    """Return the shard index, None when there is none. Raises InvalidFile, also for shards that are not there."""
    if INDEX not in files:
        return None
    document = read_json_object(files[INDEX], INDEX, limit=_MAX_INDEX_BYTES)
    weight_map: Any = document.get("weight_map")
    if not is_object(weight_map) or not weight_map:
        raise InvalidFile(INDEX, "weight_map", "is missing", allowed="a map of tensors to files")
    if not all(isinstance(file, str) and file.endswith(".safetensors") for file in weight_map.values()):
        raise InvalidFile(
            INDEX, "weight_map", "names something else than safetensors files", allowed="*.safetensors"
        )
    missing = sorted(set(weight_map.values()) - set(files))
    if missing:
        raise InvalidFile(
            INDEX, "weight_map", f"{len(missing)} of its files are missing, first `{missing[0][:200]}`"
        )
    metadata = document.get("metadata")
    total = metadata.get("total_size") if is_object(metadata) else None
    return Index(weight_map=weight_map, total_size=total if type(total) is int else None)


def check_index(index: Index, tensors: Mapping[str, StoredTensor]) -> None:
    """Raise InvalidFile unless the index and the shards hold the same tensors in the same files."""
    for name, file in index.weight_map.items():
        if name not in tensors:
            raise InvalidFile(INDEX, f"weight_map.{name[:200]}", f"is not in `{file}` or any other shard")
        if tensors[name].file != file:
            raise InvalidFile(
                INDEX, f"weight_map.{name[:200]}", f"is in `{tensors[name].file}`, not in `{file}`"
            )
    extra = next((name for name in tensors if name not in index.weight_map), None)
    if extra is not None:
        raise InvalidFile(tensors[extra].file, f"tensor {extra[:200]!r}", f"is not in `{INDEX}`")


def safetensors_files(files: Files, index: Index | None) -> list[str]:
    """Return the safetensors files that make up the model. Raises InvalidFile when that is not clear."""
    found = named(files, ".safetensors")
    top = [label for label in found if "/" not in label]
    if any(PurePosixPath(label).name.startswith("adapter_model") for label in found):
        raise InvalidFile(found[0], "", "is an adapter, not a whole model", allowed="a merged model")
    if index is not None:
        if _SINGLE in files and _SINGLE not in index.weight_map.values():
            raise InvalidFile(INDEX, "", f"and `{_SINGLE}` both claim to be the model", allowed="one of them")
        return sorted(set(index.weight_map.values()))
    if _SINGLE in files:
        return [_SINGLE]
    shards = complete_shards(top)
    if shards:
        return shards
    if len(top) == 1 or (not top and len(found) == 1):
        return top or found
    raise InvalidFile(
        (top or found)[0],
        "",
        f"is one of {len(top or found)} safetensors files, and nothing says which are the model",
        allowed=f"`{_SINGLE}`, or shards with `{INDEX}`",
    )


def gguf_files(files: Files) -> list[str]:
    """Return the GGUF files that make up the model. Raises InvalidFile when they are several models."""
    found = named(files, ".gguf")
    if len(found) == 1 and _SHARD.fullmatch(found[0]) is None:
        return found
    shards = complete_shards(found)
    if not shards:
        raise InvalidFile(
            found[0], "", f"is one of {len(found)} GGUF files", allowed="one file, or one set of splits"
        )
    return shards


def complete_shards(labels: list[str]) -> list[str]:
    """Return `labels` when they are exactly the shards of one model, else nothing. Raises InvalidFile on a gap."""
    matches = [_SHARD.fullmatch(label) for label in labels]
    parts = [match for match in matches if match is not None]
    if not parts or len(parts) != len(labels) or len({(part[1], part[3]) for part in parts}) != 1:
        return []
    present = {int(part[2]) for part in parts}
    count = int(parts[0][3])
    missing = next((number for number in range(1, count + 1) if number not in present), None)
    if missing is not None:
        raise InvalidFile(labels[0], "", f"shard {missing} of {count} is missing", allowed="all shards")
    if len(present) != count:
        raise InvalidFile(
            labels[0], "", f"there are {len(present)} shards of {count}", allowed="exactly the shards"
        )
    return labels
