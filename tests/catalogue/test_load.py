"""Wrong data files are refused, naming the file and the record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from planner.catalogue.load import FILES, assemble, load_catalogue, read_files
from planner.errors import InvalidInput


@pytest.fixture
def files():
    return read_files()


def test_it_is_read_once():
    assert load_catalogue() is load_catalogue()


def test_the_digest_follows_the_data(files):
    before = assemble(files).digest
    assert before == load_catalogue().digest
    assert before.startswith("sha256:")
    first = files["evaluations.jsonl"].splitlines(keepends=True)
    files["evaluations.jsonl"] = b"".join(first[1:])
    assert assemble(files).digest != before


def test_files_are_small_sorted_and_one_record_a_line(files):
    assert sum(len(files[name]) for name in FILES) < 1_500_000
    assert sum(map(len, files.values())) < 4_000_000
    for name, content in files.items():
        if name.endswith(".jsonl"):
            lines = content.decode().splitlines()
            assert all(line.startswith("{") and line.endswith("}") for line in lines)
            assert len(set(lines)) == len(lines)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("sources.jsonl", ("id",)),
        ("models.jsonl", ("id",)),
        ("devices.jsonl", ("id",)),
        ("variants.jsonl", ("model", "slug")),
        ("evaluations.jsonl", ("variant", "source", "task", "metric")),
        ("profiles.jsonl", ("variant", "device")),
    ],
)
def test_records_are_sorted(files, name, fields):
    keys = [tuple(json.loads(line)[field] for field in fields) for line in files[name].splitlines()]
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("models.jsonl", b'"citations":["', b'"citations":["nowhere","', "unknown source `nowhere`"),
        ("devices.jsonl", b'"id":"a10"', b'"id":"a10g"', "twice"),
        ("devices.jsonl", b'"aliases":["a100"', b'"aliases":["h100"', "shares the name"),
        ("variants.jsonl", b'"model":"llama-2-7b"', b'"model":"llama-9"', "unknown model `llama-9`"),
        ("evaluations.jsonl", b'"variant":"llama-2-7b/', b'"variant":"llama-2-7b/not-', "unknown variant"),
        ("evaluations.jsonl", b'"baseline":', b'"baseline":-', "finite baseline above 0"),
        ("profiles.jsonl", b'"device":"rtx-4090"', b'"device":"rtx-9"', "unknown device `rtx-9`"),
        ("profiles.jsonl", b'"tpot":', b'"tpott":', "unknown field"),
        ("presets.toml", b'type = "loss"', b'type = "gain"', "presets.toml"),
        ("presets.toml", b'id = "research"', b'id = "r1"', "shares the name"),
        ("sources.jsonl", b"}", b"", "sources.jsonl"),
    ],
)
def test_wrong_files_are_refused(files, name, old, new, problem):
    assert old in files[name]
    files[name] = files[name].replace(old, new, 1)
    with pytest.raises(InvalidInput, match=problem):
        assemble(files)


def test_a_model_without_its_reference_is_refused(files):
    lines = files["variants.jsonl"].splitlines(keepends=True)
    files["variants.jsonl"] = b"".join(
        line for line in lines if not line.startswith(b'{"model":"phi-4","slug":"bf16"')
    )
    with pytest.raises(InvalidInput, match="lacks its reference variant"):
        assemble(files)


def test_loading_needs_no_heavy_library():
    code = (
        "import sys; from planner.catalogue import load_catalogue; load_catalogue(); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'sqlalchemy', 'litestar', 'rich', 'httpx')))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_loading_time_is_printed(files, capsys):
    best = min(_seconds(files) for _ in range(3))
    with capsys.disabled():
        print(f"\ncatalogue: assembled in {best * 1000:.0f} ms (best of 3)")
    assert best < 10


def _seconds(files):
    start = time.perf_counter()
    assemble(files)
    return time.perf_counter() - start
