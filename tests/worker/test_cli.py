from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from worker.cli import VERBS, main

pytestmark = pytest.mark.worker
ROOT = Path(__file__).resolve().parents[2]


def test_help_is_fast_and_imports_nothing_heavy():
    program = (
        "import sys; from worker.cli import main; main(['--help'])\n"
        "heavy = {'torch', 'transformers', 'numpy', 'httpx', 'sqlalchemy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(verb in done.stdout for verb in VERBS)
    assert time.perf_counter() - start < 5  # 0.15 s where nothing else runs


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, capsys):
    assert main([verb, "--help"]) == 0
    assert "Usage: worker" in capsys.readouterr().out


def test_recipes_are_listed(capsys):
    assert main(["recipes", "--json"]) == 0
    rows = msgspec.json.decode(capsys.readouterr().out)
    assert {row["recipe"] for row in rows} >= {"bf16", "int8_weight_only", "int8_dynamic", "intx_weight_only"}
    assert main(["recipes"]) == 0
    assert "int8_dynamic" in capsys.readouterr().out
    assert main(["recipes", "int4_packed"]) == 0
    shown = capsys.readouterr().out
    assert "group_size" in shown
    assert "128" in shown
    assert main(["recipes", "int8-weight-only"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "group_size null a whole number, null" in shown
    assert "compute bfloat16 bfloat16, float16, float32" in shown
    assert main(["recipes", "int4_pakced"]) == 2
    assert "int4_packed" in capsys.readouterr().err


def test_a_variant_is_built_measured_and_evaluated_by_hand(base, tmp_path, capsys, text_file):
    for recipe in ("bf16", "int8_weight_only"):
        out = tmp_path / recipe
        assert (
            main(["build", str(base), "--recipe", recipe, "--out", str(out), "--device", "cpu", "--json"])
            == 0
        )
        result = msgspec.json.decode(capsys.readouterr().out)
        assert result["reload"]["bit_equal"]
    variant, baseline = (str(tmp_path / recipe / "variant") for recipe in ("int8_weight_only", "bf16"))
    quick = ["--point", "8:4", "--point", "8:4:2", "--budget", "0.1", "--device", "cpu"]
    assert main(["measure", variant, *quick]) == 0
    output = capsys.readouterr().out
    assert "TPOT" in output
    assert "kernel:" in output
    arguments = ["evaluate", variant, "--baseline", baseline, "--data", str(text_file), "--device", "cpu"]
    assert main(arguments) == 0
    assert "relative loss" in capsys.readouterr().out
    assert main([*arguments, "--limit", "2"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "2 items certify or refute no limit, 31 are the fewest" in said
    assert main([*arguments, "--limit", "2", "--json"]) == 0
    evaluation = msgspec.json.decode(capsys.readouterr().out)["evaluation"]
    assert evaluation["items"] == 2


def test_a_job_file_runs_without_a_server(base, tmp_path, capsys):
    job = tmp_path / "job.json"
    job.write_bytes(
        msgspec.json.encode(
            {
                "kind": "build",
                "base": {"from": "path", "path": str(base)},
                "recipe": {"recipe": "fp32"},
                "device": "cpu",
            }
        )
    )
    assert main(["run", "--job", str(job), "--out", str(tmp_path / "out")]) == 0
    assert "bit-equal" in capsys.readouterr().out
    assert (tmp_path / "out" / "result.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["build", "reference", "--recipe", "int9", "--out", "x"], 2, "no recipe `int9`"),
        (
            ["build", "reference", "--recipe", "bf16", "--set", "a", "--out", "x"],
            2,
            "set: `a` is not a setting",
        ),
        (["build", "absent", "--recipe", "bf16", "--out", "x"], 2, "base: `absent` is not a folder"),
        (
            ["build", "reference", "--recipe", "bf16", "--out", "x", "--submit"],
            2,
            "submit: no server is named",
        ),
        (["measure", "reference", "--point", "8"], 2, "point: `8` is not a workload"),
        (["measure", "reference", "--device", "tpu"], 2, "device: `tpu` is not on this machine"),
        (["measure", "reference", "--point", "5000:5"], 2, "workloads: `5000 in"),
        (
            ["evaluate", "reference", "--baseline", "reference", "--data", "absent"],
            2,
            "`absent` does not exist",
        ),
        (["run"], 2, "server: is not given"),
        (["run", "--server", "http://127.0.0.1:9", "--once"], 1, "unavailable"),
        (["submit", ".", "--server", "ftp://x"], 2, ""),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_a_mistake_is_named_with_the_right_exit_code(arguments, code, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    assert message in capsys.readouterr().err


def test_errors_are_json_on_request(capsys, tmp_path):
    assert main(["build", "absent", "--recipe", "bf16", "--out", str(tmp_path / "x"), "--json"]) == 2
    error = msgspec.json.decode(capsys.readouterr().err)["error"]
    assert (error["code"], error["field"]) == ("invalid-input", "base")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--set", "bits=x"], "recipe.bits: `x` is not allowed; allowed: a whole number"),
        (["--set", "symmetric=maybe"], "recipe.symmetric: `maybe` is not allowed; allowed: true, false"),
        (["--set", "colour=red"], "recipe.colour: is no setting of `int4_packed`"),
        (["--set", "bits=5"], "recipe.bits: 5 is not allowed; allowed: 2, 3, 4"),
        (["--out", "/dev/null/out"], "out: `/dev/null/out` cannot be written to: Not a directory"),
    ],
)
def test_what_a_build_is_told_wrongly_is_named_before_it_starts(arguments, problem, tmp_path, capsys):
    given = ["build", "reference", "--recipe", "int4_packed", "--out", str(tmp_path / "out"), *arguments]
    assert main(given) == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_server_that_is_not_there_is_said_before_the_work(tmp_path, capsys):
    given = ["build", "reference", "--recipe", "bf16", "--out", str(tmp_path / "out")]
    assert main([*given, "--server", "http://127.0.0.1:9", "--submit"]) == 1
    assert "no server answers" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_refused_job_says_why_in_one_line_and_leaves_no_old_log(base, tmp_path, capsys):
    given = ["build", str(base), "--recipe", "bf16", "--out", str(tmp_path / "out"), "--device", "cuda:77"]
    for _ in range(2):
        assert main(given) == 2
        said = capsys.readouterr().err
        assert "device: `cuda:77` is not on this machine" in said
        assert "end of the log" not in said
    assert len((tmp_path / "out" / "job.log").read_text().splitlines()) == 1


def test_a_task_that_is_no_file_names_those_that_ship(capsys):
    assert main(["evaluate", "reference", "--baseline", "reference", "--task", "nope"]) == 2
    assert "task: `nope` is not a file; allowed: a file, next-line or finish-line" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"kind": "choice", "task": "t"}\n{"context": "a", "choices": ["b"], "answer": 0}\n', "line 2"),
        ('{"kind": "guess", "task": "t"}\n', "is no header"),
        ("", "is empty"),
    ],
)
def test_a_task_file_that_is_not_understood_is_wrong_usage(content, problem, built, tmp_path, capsys):
    task = tmp_path / "task.jsonl"
    task.write_text(content)
    variant, baseline = str(built("int8_weight_only")), str(built("bf16"))
    given = ["evaluate", variant, "--baseline", baseline, "--task", str(task), "--device", "cpu"]
    assert main(given) == 2
    said = capsys.readouterr().err
    assert "task.jsonl: " in said
    assert problem in said


def test_text_and_models_that_are_not_understood_are_wrong_usage(built, base_copy, tmp_path, capsys):
    text = tmp_path / "text.jsonl"
    text.write_text('{"words": "none"}\n')
    folder = str(built("bf16"))
    given = ["evaluate", folder, "--baseline", folder, "--data", str(text), "--device", "cpu"]
    assert main(given) == 2
    assert "text.jsonl: line 1" in capsys.readouterr().err
    (base_copy / "config.json").write_text("[")
    assert main(["measure", str(base_copy), "--point", "4:2", "--device", "cpu"]) == 2
    assert "config.json" in capsys.readouterr().err
