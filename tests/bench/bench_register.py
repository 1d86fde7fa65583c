"""Seconds to register a 1 GB variant with a server: first, again from nothing known, and again with hashes kept.

Run with `python -m pytest tests/bench/bench_register.py -m bench -s`. Nothing here fails on wall time.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.api.process import running_server
from tests.workspace.fixtures import data_template
from tests.workspace.folders import shapes, write_llama

__all__ = ["data_template"]

pytestmark = pytest.mark.bench

ROOT = Path(__file__).resolve().parents[2]
HIDDEN, LAYERS = 4096, 10
ROUNDS = 5


def write_large(folder: Path) -> Path:
    """Write a Llama of 1 GB in BF16 whose weights are random bits."""
    write_llama(folder, hidden=64, layers=1)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "head_dim": HIDDEN // 4}
    (folder / "config.json").write_text(json.dumps(config))
    header: dict[str, object] = {}
    offset = 0
    for name, shape in shapes(HIDDEN, LAYERS).items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        while offset:
            offset -= file.write(os.urandom(min(offset, 1 << 24)))
    return folder


def test_registering(data_template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_large(tmp_path / "large")
    size = sum(path.stat().st_size for path in folder.iterdir())
    time.sleep(3)  # hashes are kept of files that were left alone
    data = Path(shutil.copytree(data_template, tmp_path / "data"))
    with running_server(data) as server:
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")}

        def run(*options: str) -> tuple[float, dict[str, object]]:
            command = [
                sys.executable,
                "-m",
                "planner.cli",
                "register",
                str(folder),
                "--model",
                "large",
                "--json",
            ]
            began = time.perf_counter()
            done = subprocess.run(
                [*command, "--server", server.url, *options],
                env=environ,
                capture_output=True,
                text=True,
                check=True,
            )
            return time.perf_counter() - began, json.loads(done.stdout)

        first, report = run("--rehash")
        assert report["bytes_uploaded"] == size
        again, report = run()
        assert (report["created"], report["bytes_uploaded"]) == (False, 0)
        kept = [run()[0] for _ in range(ROUNDS)]
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "planner.cli", "--version"], env=environ, capture_output=True, check=True
        )
        start = time.perf_counter() - began
    median = statistics.median(kept)
    with capsys.disabled():
        print(f"\n{size / 1e9:.2f} GB variant, whole commands, {os.cpu_count()} cores")
        print(f"first, everything hashed and uploaded   {first:7.2f} s  {size / first / 1e6:7.0f} MB/s")
        print(f"again, everything hashed                {again:7.2f} s  {first / again:6.1f}x")
        print(f"again, hashes kept (median of {ROUNDS})       {median:7.2f} s  {first / median:6.1f}x")
        print(f"  of which starting the program alone   {start:7.2f} s")
