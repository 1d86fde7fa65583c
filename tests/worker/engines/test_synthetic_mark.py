from __future__ import annotations

import json

import pytest
import torch

from planner.domain.architecture import Architecture
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from worker.engines.synthetic import synthetic_config
from worker.engines.synthetic_mark import MARK, is_synthetic
from worker.jobs import EvaluateSpec, parse_spec
from worker.measure.latency import Repetition
from worker.measure.profile import Conditions, measure
from worker.progress import ignore
from worker.sources import Located
from worker.tasks import Material, evaluate_task

pytestmark = pytest.mark.worker
SHAPE = Architecture(
    layers=1,
    hidden_size=32,
    heads=2,
    kv_heads=2,
    head_dim=16,
    intermediate_size=48,
    vocab_size=64,
    max_context=64,
)


@pytest.fixture
def made_up(tmp_path):
    """A model of made-up weights that somebody saved."""
    from transformers import LlamaForCausalLM

    directory = tmp_path / "made-up"
    LlamaForCausalLM(synthetic_config(SHAPE)).to(torch.bfloat16).save_pretrained(directory)
    return directory


def test_the_mark_goes_where_the_files_go(made_up, base):
    assert json.loads((made_up / "config.json").read_text())[MARK] is True
    assert is_synthetic(made_up)
    assert not is_synthetic(base)
    assert not is_synthetic(made_up / "absent")


def test_its_speed_is_measured_and_marked(made_up):
    conditions = Conditions(
        workloads=(Workload(input_tokens=4, output_tokens=2),),
        device="cpu",
        repetition=Repetition(warmup=1, least=1, most=1),
    )
    assert measure(made_up, "sha256:x", conditions).profile.synthetic_weights


@pytest.mark.parametrize("field", ["variant", "baseline"])
def test_its_accuracy_is_refused(made_up, base, field):
    sides = {
        name: Located(directory=made_up if name == field else base, variant_id=f"sha256:{name}", model="m")
        for name in ("variant", "baseline")
    }
    spec = parse_spec(
        {"kind": "evaluate", "variant": {"from": "reference"}, "baseline": {"from": "reference"}}
    )
    assert isinstance(spec, EvaluateSpec)
    with pytest.raises(InvalidInput, match=f"{field}: has made-up weights"):
        evaluate_task(sides["variant"], sides["baseline"], Material(text=None), spec, report=ignore)
