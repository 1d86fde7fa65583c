from __future__ import annotations

import pytest
import torch

from planner.artifacts.inspection import inspect
from planner.domain.job import FailureReason
from planner.errors import InvalidInput
from tests.worker.conftest import calibration_text
from worker.engines.formats.packed_linear import Integers
from worker.failure import JobFailed
from worker.recipes import parse_recipe
from worker.recipes.autoround import Autoround
from worker.recipes.build import build_variant

pytestmark = pytest.mark.worker

SETTINGS = {"group_size": 32, "iterations": 4, "samples": 4, "sequence": 64, "batch": 2}


def test_tuned_weights_are_read_back_exactly():
    """AutoRound leaves weights that are integers times scales, some of them negative, rounded to BF16."""
    recipe = Autoround(group_size=32)
    values = torch.randint(0, 16, (32, 64), dtype=torch.uint8)
    scales = ((torch.rand(32, 2) * 0.01 + 0.001) * torch.where(torch.rand(32, 2) < 0.3, -1, 1)).bfloat16()
    integers = Integers(values, scales, torch.full_like(scales, 8, dtype=torch.uint8))
    layer = torch.nn.Linear(64, 32, bias=False)
    layer.weight.data = integers.dequantize().bfloat16()
    found = recipe.quantize("q_proj", layer, {"q_proj": scales}).integers
    assert torch.equal(found.values, values)
    assert torch.equal(found.scales, scales)


def test_weights_off_their_grid_are_refused():
    recipe = Autoround(group_size=32)
    layer = torch.nn.Linear(64, 32, bias=False)
    with pytest.raises(JobFailed, match="off their grid") as caught:
        recipe.quantize("q_proj", layer, {"q_proj": torch.full((32, 2), 0.05).bfloat16()})
    assert caught.value.reason is FailureReason.ARTIFACT_CORRUPT


@pytest.fixture
def library():
    pytest.importorskip("auto_round")


@pytest.mark.filterwarnings("default")  # warnings of AutoRound and of what it imports are not ours
def test_tuning_builds_a_variant_that_needs_no_library(library, base, tmp_path):
    recipe = parse_recipe("autoround", SETTINGS)
    told = []
    construction, reload = build_variant(
        base, tmp_path / "out", recipe, text=calibration_text(), report=lambda share, text: told.append(text)
    )
    assert reload.bit_equal
    assert construction.coverage.by_type == {"PackedLinear": 14, "Tensor": 1}
    assert construction.facts["calibration_tokens"] == 4 * 64
    assert "tuned block 2 of 2" in told
    found = inspect({path.name: path for path in (tmp_path / "out").iterdir()})
    assert found.scheme == recipe.scheme
    assert recipe.needs == ()


@pytest.mark.filterwarnings("default")
def test_too_little_text_is_named(library, base, tmp_path):
    with pytest.raises(InvalidInput, match="of one sequence"):
        build_variant(
            base,
            tmp_path / "out",
            parse_recipe("autoround", {**SETTINGS, "sequence": 256}),
            text=calibration_text().first(1),
        )
