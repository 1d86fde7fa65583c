"""The page on the client: every example of it, run in order against a real server."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from planner.client import AsyncClient, Client, every
from planner.domain.listing import VariantSort
from tests.api.process import running_server
from tests.workspace.folders import write_llama

PAGE = Path(__file__).resolve().parents[2] / "docs" / "client.md"
PLACE = "http://127.0.0.1:8765"


def examples(page: Path = PAGE) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def test_every_example_runs(
    data_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(shutil.copytree(data_template, tmp_path / "data"))
    write_llama(tmp_path / "out", seed=777)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = examples()
    assert len(found) >= 6
    with running_server(data) as server:
        for example in found:
            assert PLACE in example
            code = compile(example.replace(PLACE, server.url), str(PAGE), "exec")
            exec(code, {"__name__": "example"})
        assert capsys.readouterr().out
        with Client(server.url) as client:
            assert client.alias("candidate").alias.number == 1
            walked = list(every(client.variants, sort=VariantSort.NAME, limit=7))
            at_once = client.variants(sort=VariantSort.NAME, limit=200).items
            assert walked[: len(at_once)] == list(at_once)
            assert len({row.variant.id for row in walked}) == len(walked) > 7


def test_the_client_is_typed_for_those_who_use_it() -> None:
    import planner

    assert (Path(planner.__file__).parent / "py.typed").is_file()


def test_methods_say_what_they_do() -> None:
    for kind in (Client, AsyncClient):
        for name in dir(kind):
            method = getattr(kind, name)
            if not name.startswith("_") and callable(method):
                assert (method.__doc__ or "").strip().endswith((".", ":")), f"{kind.__name__}.{name}"
