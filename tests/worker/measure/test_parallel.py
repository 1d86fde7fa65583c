from __future__ import annotations

import msgspec
import pytest
import torch

from planner.domain.workload import Workload
from planner.errors import InvalidInput
from worker.engines.transformers import Mode
from worker.measure.latency import Repetition
from worker.measure.profile import Conditions, measure

pytestmark = [
    pytest.mark.worker,
    pytest.mark.skipif(torch.cuda.is_available(), reason="on a machine with GPUs they are used instead"),
]
QUICK = Conditions(
    workloads=(Workload(input_tokens=8, output_tokens=3, concurrency=2),),
    device="cpu",
    repetition=Repetition(budget_seconds=0.5, limit_seconds=5.0, least=2, most=3, warmup=1),
)


def test_a_profile_of_two_devices_has_the_bytes_of_every_rank(base):
    measured = measure(base, "variant:tiny", msgspec.structs.replace(QUICK, tensor_parallel=2))
    profile = measured.profile
    assert profile.devices == 2
    assert profile.runtime.name == "transformers"
    assert profile.id.startswith("profile:")
    (point,) = profile.points
    assert point.tpot_seconds is not None
    assert measured.weights is not None
    facts = profile.environment.facts
    assert facts["tensor_parallel"] == 2
    assert facts["rank_0_weights_bytes"] == facts["rank_1_weights_bytes"] == measured.weights.total_bytes
    assert point.memory.weights_bytes == measured.weights.total_bytes


def test_the_conditions_of_a_measurement_name_the_degree(base):
    with pytest.raises(InvalidInput, match="3 does not divide num_attention_heads"):
        measure(base, "variant:tiny", msgspec.structs.replace(QUICK, tensor_parallel=3))
    with pytest.raises(InvalidInput, match="tensor_parallel: 0 is out of range"):
        msgspec.structs.replace(QUICK, tensor_parallel=0)
    with pytest.raises(InvalidInput, match="eager"):
        msgspec.structs.replace(QUICK, tensor_parallel=2, mode=Mode.COMPILED)


def test_a_gguf_file_is_not_timed_here(tmp_path):
    (tmp_path / "model.gguf").touch()
    with pytest.raises(InvalidInput, match=r"not llama\.cpp's"):
        measure(tmp_path, "variant:gguf", QUICK)
