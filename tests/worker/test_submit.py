from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.client import Client
from planner.errors import InvalidInput
from tests.api.process import running_server
from worker.jobs import parse_spec
from worker.runner import Runner
from worker.sources import Resolver
from worker.submit import find_results, read_result, submit

pytestmark = pytest.mark.worker


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running_server(tmp_path_factory.mktemp("server") / "data") as server, Client(server.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def results(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A measurement and the builds it is about, made without a server, in folders whose names sort the wrong way."""
    root = tmp_path_factory.mktemp("results")
    runner = Runner(Resolver(cache=root / "cache"), method="forkserver")
    build = {"kind": "build", "base": {"from": "path", "path": str(base)}, "device": "cpu"}
    runner.run(parse_spec({**build, "recipe": {"recipe": "bf16"}}), root / "z-base")
    runner.run(parse_spec({**build, "recipe": {"recipe": "intx_weight_only"}}), root / "y-int4")
    sources = [{"from": "path", "path": str(root / name / "variant")} for name in ("y-int4", "z-base")]
    measure = {"workloads": [{"input_tokens": 8, "output_tokens": 4}], "repetition": {"budget_seconds": 0.1}}
    runner.run(
        parse_spec({"kind": "measure", "variant": sources[0], "conditions": {**measure, "device": "cpu"}}),
        root / "a-profile",
    )
    runner.run(
        parse_spec(
            {"kind": "evaluate", "variant": sources[0], "baseline": sources[1], "limit": 4, "device": "cpu"}
        ),
        root / "b-loss",
    )
    return root


def test_builds_are_handed_in_before_evidence_and_twice_changes_nothing(client, results):
    folders = find_results(results)
    assert [folder.name for folder in folders] == ["y-int4", "z-base", "a-profile", "b-loss"]
    first = [submit(client, folder, read_result(folder)) for folder in folders]
    assert [item.kind for item in first] == ["variant", "variant", "profile", "evaluation"]
    assert all(item.created for item in first)
    again = [submit(client, folder, read_result(folder)) for folder in folders]
    assert [item.id for item in again] == [item.id for item in first]
    assert not any(item.created for item in again)
    variant = client.variant(first[0].id)
    assert variant.scheme.name == "int4-g32"
    assert client.profiles(variant=variant.id).items[0].id == first[2].id


def test_a_file_for_llama_cpp_is_registered_as_running_there(client, base, tmp_path):
    runner = Runner(Resolver(cache=tmp_path / "cache"), method="forkserver")
    build = {"kind": "build", "base": {"from": "path", "path": str(base)}, "device": "cpu"}
    result = runner.run(parse_spec({**build, "recipe": {"recipe": "gguf"}}), tmp_path / "out")
    assert client.variant(submit(client, tmp_path / "out", result).id).runtimes == ("llama.cpp",)


def test_files_that_were_changed_since_are_refused(client, base, tmp_path):
    runner = Runner(Resolver(cache=tmp_path / "cache"), method="forkserver")
    result = runner.run(
        parse_spec(
            {
                "kind": "build",
                "base": {"from": "path", "path": str(base)},
                "recipe": {"recipe": "int8_dynamic"},
                "device": "cpu",
            }
        ),
        tmp_path / "out",
    )
    (tmp_path / "out" / "variant" / "LICENSE.txt").write_text("changed")
    with pytest.raises(InvalidInput, match="unchanged files"):
        submit(client, tmp_path / "out", result)


def test_a_folder_without_results_says_so(tmp_path):
    with pytest.raises(InvalidInput, match=r"holds no result\.json"):
        find_results(tmp_path)
