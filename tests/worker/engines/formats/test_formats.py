from __future__ import annotations

import json
from importlib import import_module
from importlib.util import find_spec

import pytest

from planner.domain.job import FailureReason
from worker.engines.formats import FORMATS, load_options, quant_method
from worker.engines.libraries import EXTRAS, installation, require_library
from worker.engines.loading import load_model, resolve_device
from worker.failure import JobFailed

pytestmark = pytest.mark.worker


@pytest.mark.parametrize("method", FORMATS)
def test_every_format_has_its_module(method):
    assert callable(import_module(FORMATS[method]).load_options)


@pytest.mark.parametrize(
    "config", [{}, {"quantization_config": None}, {"quantization_config": {"quant_method": 4}}]
)
def test_what_declares_nothing_is_transformers_own(tmp_path, config):
    assert quant_method(config) is None
    assert load_options(tmp_path, config) == {}


@pytest.mark.parametrize(
    ("method", "library"), [("gptq", "gptqmodel"), ("awq", "gptqmodel"), ("auto-round", "auto-round")]
)
def test_files_that_need_a_library_say_so_before_anything_is_loaded(base_copy, method, library):
    if find_spec(library.replace("-", "_")):
        pytest.skip(f"{library} is installed")
    path = base_copy / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "quantization_config": {"quant_method": method, "bits": 4}}))
    with pytest.raises(JobFailed, match=f"library {library} is not installed; `pip install") as caught:
        load_model(base_copy, device=resolve_device("cpu"))
    assert caught.value.reason is FailureReason.KERNEL_UNSUPPORTED


def test_extras_are_those_of_the_distribution():
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())["project"]
    for library, extra in EXTRAS.items():
        assert any(wanted.startswith(library) for wanted in project["optional-dependencies"][extra])


def test_what_no_installation_brings_has_no_hint():
    assert installation("cc>=8.9") is None
    assert installation("cuda") is None
    assert "pip install 'gemlite'" in str(installation("library:gemlite"))
    require_library("torch")
