from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from planner.errors import InvalidFile
from worker.recipes.canonical import canonicalize

pytestmark = pytest.mark.worker


def test_the_order_of_metadata_does_not_change_the_bytes(tmp_path):
    tensors = {"b": torch.arange(6).reshape(2, 3), "a": torch.ones(4)}
    contents = set()
    for attempt in range(8):
        path = tmp_path / f"{attempt}.safetensors"
        save_file(tensors, path, metadata={f"key-{number}": "x" * number for number in range(20)})
        canonicalize(path)
        contents.add(path.read_bytes())
        assert all(torch.equal(value, tensors[name]) for name, value in load_file(path).items())
    assert len(contents) == 1


def test_a_second_time_changes_nothing(tmp_path):
    path = tmp_path / "one.safetensors"
    save_file({"a": torch.ones(4)}, path, metadata={"é": "ü"})
    canonicalize(path)
    once = path.read_bytes()
    canonicalize(path)
    assert path.read_bytes() == once
    assert json.loads(once[8 : 8 + int.from_bytes(once[:8], "little")])["__metadata__"] == {"é": "ü"}


@pytest.mark.parametrize(
    "content", [b"", b"\x02", (10**12).to_bytes(8, "little") + b"{}", (4).to_bytes(8, "little") + b"{{{{"]
)
def test_what_is_no_safetensors_file_is_refused(tmp_path, content):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(InvalidFile, match=r"bad\.safetensors: header"):
        canonicalize(path)
