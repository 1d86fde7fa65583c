from __future__ import annotations

import json
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from planner.artifacts.inspection import inspect
from planner.errors import UnsafeFile
from tests.artifacts import writers
from tests.artifacts.writers import PARAMETERS, config, llama, write


class Payload:
    def __reduce__(self):
        return print, ("run",)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return write(tmp_path, llama(writers.plain), config())


def add(files: dict[str, Path], name: str, content: bytes) -> dict[str, Path]:
    path = files["config.json"].parent / name.replace("/", "_")
    path.write_bytes(content)
    return {**files, name: path}


@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model.bin", "model.pt", "model.PTH", "x.pkl", "a/b/x.pickle", "x.ckpt", "x.joblib", "training_args.bin",
        "arr.npy", "arr.npz", "modeling_x.py", "x.so", "run.sh", "x.ipynb", "model.h5", "model.onnx", "x.tar", "x.tar.gz", "x.zip",
    ],
)  # fmt: skip
def test_names_of_formats_that_run_code(files: dict[str, Path], name: str):
    with pytest.raises(UnsafeFile) as caught:
        inspect(add(files, name, b"harmless"))
    assert caught.value.details["path"] == name
    assert "safetensors" in caught.value.details["allowed"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("size", [0, 200_000])
def test_a_renamed_pickle_is_found(files: dict[str, Path], protocol: int, size: int):
    content = pickle.dumps([Payload(), b"x" * size, list(range(size // 10))], protocol)
    with pytest.raises(UnsafeFile, match="pickle"):
        inspect(add(files, "vocab.txt", content))


def test_renamed_archives_and_programs_are_found(files: dict[str, Path], tmp_path: Path):
    zipped = tmp_path / "zipped"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Payload()))
    packed = tmp_path / "packed"
    with tarfile.open(packed, "w") as archive_:
        archive_.add(zipped, "x")
    for content, kind in (
        (zipped.read_bytes(), "zip archive"),
        (packed.read_bytes(), "tar archive"),
        (b"\x7fELF\x02\x01\x01", "program"),
        (b"#!/bin/sh\nrm -rf /\n", "script"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x93NUMPY\x01\x00", "NumPy"),
    ):
        with pytest.raises(UnsafeFile, match=kind):
            inspect(add(files, "notes.txt", content))


@pytest.mark.parametrize(
    ("name", "document", "field"),
    [
        ("config.json", {"auto_map": {"AutoModelForCausalLM": "modeling_x.X"}}, "auto_map"),
        (
            "tokenizer_config.json",
            {"auto_map": {"AutoTokenizer": ["other/repo--tokenization.T", None]}},
            "auto_map",
        ),
        ("preprocessor_config.json", {"trust_remote_code": True}, "trust_remote_code"),
    ],
)
def test_configurations_that_name_code(
    files: dict[str, Path], name: str, document: dict[str, Any], field: str
):
    with pytest.raises(UnsafeFile, match=f"{name}: {field}"):
        inspect(add(files, name, json.dumps({**config(), **document}).encode()))


def test_ordinary_companions_pass(files: dict[str, Path]):
    for name, content in {
        "README.md": b"---\nlicense: mit\n---\nCopyright\ncat\ndog\n.",
        "LICENSE": b"Copyright (c) 2024\n\nPermission is hereby granted.\n",
        "tokenizer.json": json.dumps({"model": {"vocab": {"a": 0}}}).encode(),
        "tokenizer_config.json": json.dumps({"auto_map": None, "trust_remote_code": False}).encode(),
        "tokenizer.model": b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02",
        "merges.txt": "#version: 0.2\nĠ t\nh e\n".encode(),
        "chat_template.jinja": b"{% for m in messages %}{{ m }}{% endfor %}",
        "pytorch_model.bin.index.json": b"{}",
        "empty.txt": b"",
        "long.txt": b"(" * 100_000,
    }.items():
        files = add(files, name, content)
    assert inspect(files).parameters == PARAMETERS
