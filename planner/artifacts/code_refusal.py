"""Refusal of files that run code when they are loaded: pickles under any name, programs, archives, Python sources.

Names are judged first, then the first bytes of every file, so that a renamed pickle is found too.
"""

from __future__ import annotations

import pickletools
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from planner.artifacts.durable import open_regular
from planner.artifacts.json_document import read_json_object
from planner.errors import UnsafeFile

_SAFE: Final = "safetensors or GGUF weights with JSON and text files"
_PICKLES: Final = frozenset(
    {"bin", "pt", "pt2", "pth", "ptl", "pkl", "pickle", "ckpt", "joblib", "dill", "cloudpickle", "npy", "npz", "mar", "nemo"}
)  # fmt: skip
_PROGRAMS: Final = frozenset(
    {"py", "pyc", "pyd", "pyw", "pyx", "ipynb", "so", "dll", "dylib", "exe", "sh", "bash", "bat", "cmd", "ps1", "js", "jar", "class", "wasm", "whl", "egg"}
)  # fmt: skip
_OTHERS: Final = frozenset(
    {"h5", "hdf5", "keras", "pb", "tflite", "onnx", "mlmodel", "engine", "plan", "torchscript"}
)
_ARCHIVES: Final = frozenset({"zip", "tar", "tgz", "gz", "bz2", "xz", "zst", "7z", "rar"})
_MAGIC: Final[Mapping[bytes, str]] = {
    b"PK\x03\x04": "a zip archive, which is how PyTorch stores pickles",
    b"PK\x05\x06": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"\xcf\xfa\xed\xfe": "a program",
    b"\xca\xfe\xba\xbe": "a program",
    b"\x00asm": "a program",
    b"#!": "a script",
    b"\x93NUMPY": "a NumPy file, which may hold pickles",
    b"\x89HDF\r\n": "an HDF5 file, which may hold code",
}
_CODE_OPCODES: Final = frozenset(
    {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD"}
)
_HEAD_BYTES: Final = 1 << 16
_MAX_CONFIG_BYTES: Final = 10_000_000


def refuse_code(files: Mapping[str, Path]) -> None:
    """Raise UnsafeFile when any of `files` (path inside the variant → place on disk) can run code when loaded."""
    for label in files:
        refuse_name(label)
    for label, path in files.items():
        if PurePosixPath(label).suffix.lower() not in {
            ".safetensors",
            ".gguf",
        }:  # those have readers of their own
            _check_head(label, path)
        name = PurePosixPath(label).name
        if name.endswith(".json") and "config" in name:
            _check_config(label, read_json_object(path, label, limit=_MAX_CONFIG_BYTES, finite=False))


def refuse_name(label: str) -> None:
    """Raise UnsafeFile when a file is of a format that can run code by its name alone."""
    name = PurePosixPath(label).name.lower()
    last = PurePosixPath(name).suffix.removeprefix(".")
    if last in _PICKLES:
        raise UnsafeFile(
            label, "", f"is in a pickle format (.{last}), which runs code when it is loaded", allowed=_SAFE
        )
    if last in _PROGRAMS:
        raise UnsafeFile(label, "", "is a program", allowed=_SAFE)
    if last in _OTHERS:
        raise UnsafeFile(label, "", f"is in the {last} format, which can carry code", allowed=_SAFE)
    if last in _ARCHIVES:
        raise UnsafeFile(label, "", "is an archive, whose content cannot be judged", allowed=_SAFE)


def _check_head(label: str, path: Path) -> None:
    with open_regular(path, label) as file:
        head = file.read(_HEAD_BYTES)
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            raise UnsafeFile(label, "", f"is {kind}", allowed=_SAFE)
    if head[257:262] == b"ustar":
        raise UnsafeFile(label, "", "is a tar archive", allowed=_SAFE)
    if _is_pickle(head):
        raise UnsafeFile(label, "", "is a pickle, which runs code when it is loaded", allowed=_SAFE)


def _is_pickle(head: bytes) -> bool:
    """Return whether `head` begins a pickle: protocol 2 and later announce it, older ones are recognised by parsing."""
    if len(head) >= 2 and head[0] == 0x80 and 2 <= head[1] <= 5:
        return True
    codes: set[str] = set()
    try:
        for opcode, _, _ in pickletools.genops(head):
            codes.add(opcode.name)
    except (ValueError, IndexError, UnicodeError, OverflowError):
        # Not a whole pickle. A truncated one that already calls something is a pickle longer than what was read.
        return len(head) == _HEAD_BYTES and "REDUCE" in codes and bool(codes & {"GLOBAL", "INST"})
    return bool(codes & _CODE_OPCODES)


def _check_config(label: str, config: Mapping[str, Any]) -> None:
    for field in ("auto_map", "custom_pipelines"):
        if config.get(field):
            raise UnsafeFile(
                label,
                field,
                "names Python code that loading would run",
                allowed="models whose code is part of the runtime",
            )
    if config.get("trust_remote_code"):
        raise UnsafeFile(
            label, "trust_remote_code", "asks to run code from elsewhere", allowed="false or absent"
        )
