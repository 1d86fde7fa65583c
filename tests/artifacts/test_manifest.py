from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from planner.artifacts import manifest
from planner.artifacts.manifest import scan
from planner.domain.variant import manifest_digest
from planner.errors import InvalidFile, InvalidInput


def test_sizes_hashes_and_order(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "é 1.txt").write_bytes(b"one")
    (tmp_path / "big.safetensors").write_bytes(os.urandom(3_000_000))
    (tmp_path / "empty").touch()
    seen: list[int] = []
    found = scan(tmp_path, progress=seen.append)
    assert [a.path for a in found] == ["big.safetensors", "empty", "sub/é 1.txt"]
    assert [a.size for a in found] == [3_000_000, 0, 3]
    assert found[0].sha256 == hashlib.sha256((tmp_path / "big.safetensors").read_bytes()).hexdigest()
    assert sum(seen) == 3_000_003
    assert manifest_digest(found) == manifest_digest(reversed(scan(tmp_path)))


def test_caches_and_hidden_files_are_left_out(tmp_path: Path):
    for name in (
        ".git/config",
        ".cache/x",
        "__pycache__/x.pyc",
        ".gitattributes",
        ".planner-partial/x",
        "keep/.hidden",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "model.gguf").write_text("x")
    assert [a.path for a in scan(tmp_path)] == ["model.gguf"]


def test_empty_missing_and_wrong_folders(tmp_path: Path):
    with pytest.raises(InvalidInput, match="holds no files"):
        scan(tmp_path)
    (tmp_path / ".hidden").touch()
    with pytest.raises(InvalidInput, match="holds no files"):
        scan(tmp_path)
    for path in (tmp_path / "absent", tmp_path / ".hidden"):
        with pytest.raises(InvalidInput, match="is not a folder"):
            scan(path)


def test_links(tmp_path: Path):
    folder = tmp_path / "variant"
    folder.mkdir()
    (folder / "a").write_text("x")
    (folder / "b").symlink_to("a")
    assert scan(folder)[0].sha256 == scan(folder)[1].sha256
    outside = tmp_path / "secret"
    outside.write_text("y")
    for name, target, message in (
        ("out", "../secret", "leaves the folder"),
        ("root", "/etc/passwd", "leaves the folder"),
        ("lost", "nowhere", "link to nothing"),
        ("loop", "loop", "link to nothing"),
        ("folder", ".", "something else than a file"),
    ):
        (folder / name).symlink_to(target)
        with pytest.raises(InvalidFile, match=message) as caught:
            scan(folder)
        assert caught.value.details["path"] == name
        (folder / name).unlink()


def test_things_that_are_not_files(tmp_path: Path):
    (tmp_path / "a").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidFile, match="pipe: is not a regular file"):
        scan(tmp_path)
    (tmp_path / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        with pytest.raises(InvalidFile, match="socket: is not a regular file"):
            scan(tmp_path)


def test_names_that_cannot_be_kept(tmp_path: Path):
    for name, message in (
        (b"\xff.txt", "not UTF-8"),
        (b"a\\b", "is not allowed"),
        (b"a\nb", "is not allowed"),
    ):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.write_text("x")
        with pytest.raises(InvalidInput, match=message):
            scan(tmp_path)
        path.unlink()
    deep = tmp_path / Path(*["d" * 100] * 6)
    deep.mkdir(parents=True)
    (deep / "x").touch()
    with pytest.raises(InvalidInput, match="is not allowed"):
        scan(tmp_path)


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(manifest, "MAX_FILES", 3)
    for number in range(4):
        (tmp_path / str(number)).touch()
    with pytest.raises(InvalidInput, match="more than 3 files"):
        scan(tmp_path)


def test_a_file_that_grows_while_it_is_read(tmp_path: Path):
    path = tmp_path / "log"
    path.write_bytes(bytes(3_000_000))

    def grow(_: int) -> None:
        with path.open("ab") as file:
            file.write(b"x" * 2_000_000 if path.stat().st_size < 9_000_000 else b"")

    with pytest.raises(InvalidFile, match="changed while it was read"):
        scan(tmp_path, progress=grow)
