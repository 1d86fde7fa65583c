from __future__ import annotations

import json

import msgspec
import pytest

from planner.domain.workload import Workload
from planner.errors import InvalidFile, InvalidInput
from tests.worker.engines.openai_server import running
from worker.cli import main
from worker.commands.measure import read_profile, sweep_points
from worker.jobs import parse_spec
from worker.runner import Runner
from worker.sources import Resolver

pytestmark = pytest.mark.worker
A, B = Workload(input_tokens=8, output_tokens=4), Workload(input_tokens=16, output_tokens=4, concurrency=3)


def test_a_sweep_takes_every_length_with_every_concurrency():
    swept = sweep_points((A, B, msgspec.structs.replace(A, concurrency=9)), "1, 2,2")
    assert [(point.input_tokens, point.concurrency) for point in swept] == [(8, 1), (8, 2), (16, 1), (16, 2)]
    assert sweep_points((A, B), None) == (A, B)


@pytest.mark.parametrize("sweep", ["", "1,,2", "0", "1;2", "-1"])
def test_a_wrong_sweep_is_named(sweep):
    with pytest.raises(InvalidInput, match="sweep"):
        sweep_points((A,), sweep)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"profile": 3}', '{"id": "x"}', "\x00"])
def test_a_file_that_is_no_profile_is_said(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(InvalidFile, match="is no profile"):
        read_profile(path)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--endpoint", "http://127.0.0.1:9"], "model: is needed with --endpoint"),
        (["--model", "m"], "model: is of a server, and none is named"),
        (["--api", "chat"], "api: is of a server, and none is named"),
        (["--spread", "0.5"], "spread: is of requests one by one"),
        (["--kernels", "torchao"], "kernels: is of another mode; allowed: --mode compiled"),
        (["--thorough", "--mode", "continuous"], "thorough: is of another mode"),
        (
            ["--endpoint", "http://127.0.0.1:9", "--model", "m", "--mode", "eager"],
            "mode: is not ours to choose",
        ),
        (["--endpoint", "http://gpu.example", "--model", "m"], "endpoint.device_id: is needed"),
        (["--endpoint", "http://127.0.0.1:9", "--model", "m"], "no server answers at"),
    ],
)
def test_an_option_that_would_do_nothing_or_a_server_that_is_not_there_is_said(arguments, problem, capsys):
    assert main(["measure", "reference", *arguments]) != 0
    assert problem in " ".join(capsys.readouterr().err.split())


def test_a_server_is_measured_and_compared_with_before(tmp_path, capsys):
    quick = ["--point", "24:8", "--sweep", "1,2", "--budget", "0.3", "--warmup", "1", "--half-width", "0.5"]
    with running() as server:
        named = [
            "--endpoint",
            server.url,
            "--model",
            "steady",
            "--runtime",
            "vllm",
            "--runtime-version",
            "0.33",
        ]
        command = ["measure", "reference", "--device", "cpu", *named, *quick]
        assert main([*command, "--out", str(tmp_path / "before"), "--json"]) == 0
        before = json.loads(capsys.readouterr().out)["profile"]
        assert before["runtime"] == {"name": "vllm", "version": "0.33", "mode": "serving"}
        assert [point["workload"]["concurrency"] for point in before["points"]] == [1, 2]
        assert main([*command, "--against", str(tmp_path / "before" / "result.json")]) == 0
    shown = capsys.readouterr()
    assert "vllm 0.33 serving" in shown.out
    assert any(verdict in shown.err for verdict in ("SAME", "AMBIGUOUS", "FAST", "SLOW"))
    assert f"against {before['id']}" in shown.err


def test_a_job_from_a_server_cannot_make_a_worker_call_an_address(tmp_path):
    job = {
        "kind": "measure",
        "variant": {"from": "reference"},
        "endpoint": {"url": "http://127.0.0.1:9", "model": "m", "runtime": "vllm"},
    }
    with pytest.raises(InvalidInput, match="endpoint: names an address to call"):
        Runner(Resolver(cache=tmp_path, allow_paths=False)).run(parse_spec(job), tmp_path / "out")
