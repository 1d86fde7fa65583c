"""A job's result is read as what it is: every part a section, nothing left out, and foreign documents field by field."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console

from planner.cli.render.job_result import print_document, print_result
from planner.domain.evaluation import Evaluation
from planner.domain.figure import Basis, Figure
from planner.domain.profile import Distribution, Environment, NotMeasured, Profile, ProfilePoint
from planner.domain.runtime import Runtime
from planner.domain.units import Unit
from planner.domain.workload import Workload


def _printed(result: dict[str, Any], width: int = 120) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_result(console, result)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_build_is_sections_with_a_line_for_each_fact():
    lines = _printed(
        {
            "kind": "build",
            "variant_id": "sha256:aa",
            "artifacts": [{"path": "a.safetensors", "size": 3}, {"path": "b.json", "size": 4, "note": "x"}],
            "weights": {"total_bytes": 2**20, "by_format": {"int8": 5, "float32": 2}},
            "reload": {"bit_equal": True, "tolerance": 0.0},
            "coverage": {"skipped": [{"reason": "head", "layers": 1}, {"reason": "odd", "layers": 2}]},
        }
    )
    assert [line for line in lines if line and not line.startswith(" ")] == [
        "result", "artifacts", *lines[lines.index("artifacts") + 1 : lines.index("artifacts") + 4], "weights", "reload",
        "coverage",
    ]  # fmt: skip
    at = lines.index("artifacts")
    assert [line.split() for line in lines[at + 1 : at + 4]] == [
        ["path", "size", "note"],
        ["a.safetensors", "3"],
        ["b.json", "4", "x"],
    ]
    assert any(line.split() == ["total", "1", "MiB"] for line in lines)
    assert any("by format" in line and "int8 5, float32 2" in line for line in lines)
    assert any("bit equal" in line and line.endswith("yes") for line in lines)
    assert any("reason head, layers 1; reason odd, layers 2" in line for line in lines)


def test_a_profile_is_a_table_of_its_points():
    point = ProfilePoint(
        workload=Workload(input_tokens=16, output_tokens=4),
        ttft_seconds=Distribution(samples=100, mean=0.02, p50=0.01),
    )
    profile = Profile(
        id="p",
        variant_id="v",
        device_id="cpu",
        runtime=Runtime(name="transformers", version="5"),
        basis=Basis.MEASURED,
        points=(point,),
        environment=Environment(device_name="Some CPU", versions={"torch": "2", "numpy": "2.4"}),
        measured_at=datetime(2026, 1, 1, tzinfo=UTC),
        not_measured=(NotMeasured(workload=Workload(input_tokens=99, output_tokens=4), reason="time_limit"),),
        doubt="the machine was busy",
    )
    lines = _printed({"kind": "measure", "profile": msgspec.to_builtins(profile), "device": None})
    assert lines[1] == "profile"
    assert "10 ms p50" in " ".join(lines)
    assert "doubt: the machine was busy" in lines
    assert any(
        line.startswith("not measured: 99 in, 4 out") and line.endswith("time limit") for line in lines
    )
    assert any("torch 2, numpy 2.4" in line for line in lines)


def test_evaluations_are_one_table_with_what_casts_doubt_on_them():
    def evaluation(task: str, doubt: str | None) -> dict[str, Any]:
        loss = Figure(value=0.01, unit=Unit.RATIO, basis=Basis.MEASURED)
        record = Evaluation(
            id="", variant_id="v", task=task, metric="acc", higher_is_better=True, basis=Basis.MEASURED,
            baseline_score=0.5, variant_score=0.49, relative_loss=loss, items=40, doubt=doubt, notes=("short",),
        )  # fmt: skip
        found: dict[str, Any] = msgspec.to_builtins(record)
        return found

    lines = _printed(
        {
            "kind": "evaluate",
            "evaluation": evaluation("one", None),
            "others": [evaluation("two", "guesses")],
            "refused": [{"task": "three", "reason": "the baseline scores 0"}],
        }
    )
    rows = [line.split()[0] for line in lines if line.startswith(("one", "two", "three"))]
    assert rows == ["one", "two", "three"]
    assert "doubt: guesses" in lines
    assert lines.count("note: short") == 2


def test_what_another_worker_means_by_a_part_is_shown_as_it_is():
    lines = _printed(
        {"kind": "measure", "profile": {"speed": {"fast": True}}, "more": [1, 2], "long": list(range(99))}
    )
    assert "profile" in lines
    assert any("speed" in line and "fast yes" in line for line in lines)
    assert any("and 79 more: --json" in line for line in lines)
    assert _printed({}) == []


def test_markup_and_control_of_a_hostile_result_are_text():
    console = Console(file=io.StringIO(), width=80, color_system=None)
    print_document(console, "asked for", {"name": "[bold red]x[/]", "list": [{"a": "[/]"}]})
    assert isinstance(console.file, io.StringIO)
    assert "[bold red]x[/]" in console.file.getvalue()
    assert "[/]" in console.file.getvalue()
