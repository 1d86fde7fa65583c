from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from planner.catalogue import Catalogue, load_catalogue
from planner.domain.architecture import Architecture
from planner.domain.figure import Basis, Figure
from planner.domain.model import Model
from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.domain.units import Unit
from planner.domain.variant import FileFormat, Variant
from worker.campaign.specification import Campaign, parse_campaign

SHAPE = Architecture(
    hidden_size=64, layers=1, heads=4, kv_heads=2, head_dim=16, intermediate_size=96, vocab_size=512,
    max_context=128, model_type="llama",
)  # fmt: skip
STEPS = """
[machine]
start_seconds = 5
compile_seconds = 0.2
[[steps]]
kind = "shape"
models = ["tiny"]
recipes = ["bf16", "int8_weight_only"]
batches = [2, 1]
contexts = [32, 8, 4096]
output_tokens = 4
device = "cpu"
repetition = { warmup = 1, least = 2, most = 3, budget_seconds = 0.05 }
"""


def campaign_of(text: str) -> Campaign:
    return parse_campaign(('name = "test"\ndescription = "of a test"\n' + text).encode())


def _variant(name: str, scheme: Scheme) -> Variant:
    weight = Figure(value=1e6, unit=Unit.BYTES, basis=Basis.MODELLED)
    return Variant(
        id=f"published:tiny/{name}",
        model_id="tiny",
        name=f"tiny-{name}",
        scheme=scheme,
        file_format=FileFormat.SAFETENSORS,
        weight_bytes=weight,
    )


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return with_tiny()


def with_tiny() -> Catalogue:
    """The catalogue with one more model, small enough to be measured in a test."""
    model = Model(
        id="tiny",
        name="Tiny",
        family="Tiny",
        architecture=SHAPE,
        parameters=SHAPE.parameters,
        reference_format=NumberFormat.BF16,
        size_billions=0.0001,
    )
    own = (
        _variant("bf16", Scheme(weight=Precision(format=NumberFormat.BF16))),
        _variant("int8-gptq", Scheme(weight=Precision(format=NumberFormat.INT8), method="gptq")),
        _variant("int8", Scheme(weight=Precision(format=NumberFormat.INT8), method="rtn")),
    )
    built_in = load_catalogue()
    return msgspec.structs.replace(
        built_in, models=(*built_in.models, model), variants=(*built_in.variants, *own)
    )


@pytest.fixture
def write_campaign(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "campaign.toml"
        path.write_text('name = "test"\ndescription = "of a test"\n' + text)
        return path

    return write
