from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.naming import is_within_family, name_runs, same_name


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("Llama-3.1-8B", ("llama", "3.1", "8", "b")),
        ("Qwen3-30B-A3B", ("qwen", "3", "30", "b", "a", "3", "b")),
        ("RTX 4090", ("rtx", "4090")),
        ("ＲＴＸ４０９０", ("rtx", "4090")),
        ("meta-llama/Llama-2-13b-hf", ("meta", "llama", "llama", "2", "13", "b", "hf")),
        ("树莓派5", ("树", "莓", "派", "5")),
        ("--", ()),
    ],
)
def test_runs(name: str, runs: tuple[str, ...]):
    assert name_runs(name) == runs


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("llama 3.1 8b", "Llama-3.1-8B", True),
        ("rtx4090", "RTX 4090", True),
        ("a100_80gb", "A100-80GB", True),
        ("gemma 2 2b", "gemma 22b", False),
        ("qwen2 7b", "qwen 27b", False),
        ("llama 3 8b", "llama 3.1 8b", False),
    ],
)
def test_only_separators_between_numbers_matter(one: str, other: str, same: bool):
    assert same_name(one, other) is same


@pytest.mark.parametrize(
    ("family", "wanted", "within"),
    [
        ("Llama-3.1", "Llama", True),
        ("Llama-3.1", "llama 3", True),
        ("Llama-3.1", "llama 3.1", True),
        ("Llama-3.1", "llama 3.2", False),
        ("Llama-2", "llama 3", False),
        ("Llama-31", "llama 3", False),
        ("CodeLlama", "llama", False),
        ("Llama", "Llama-3", False),
        ("DeepSeek-R1-Distill-Qwen", "deepseek r1", True),
        ("Qwen2.5", "qwen2", True),
        ("Qwen2.5", "", False),
    ],
)
def test_branches_of_families(family: str, wanted: str, within: bool):
    assert is_within_family(family, wanted) is within


@given(st.text(max_size=40))
def test_any_name_is_the_same_as_itself_and_within_itself(name: str):
    assert same_name(name, f" {name.lower()} ")
    assert is_within_family(name, name) is bool(name_runs(name))
