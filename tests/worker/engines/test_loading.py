from __future__ import annotations

import json

import pytest
import torch

from planner.errors import InvalidFile, InvalidInput
from worker.engines.loading import (
    check_directory,
    context_limit,
    load_model,
    load_tokenizer,
    resolve_device,
)

pytestmark = pytest.mark.worker
CPU = torch.device("cpu")


def test_a_model_is_loaded_as_it_is_stored(base):
    model = load_model(base, device=CPU)
    assert model.dtype is torch.bfloat16
    assert not model.training
    assert context_limit(model) == 256


def test_weights_of_the_wrong_shape_are_refused(base_copy):
    config = json.loads((base_copy / "config.json").read_text())
    (base_copy / "config.json").write_text(json.dumps({**config, "intermediate_size": 128}))
    with pytest.raises(InvalidFile, match="wrong shapes"):
        load_model(base_copy, device=CPU)


def test_weights_the_architecture_does_not_have_are_refused(base_copy):
    config = json.loads((base_copy / "config.json").read_text())
    (base_copy / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
    with pytest.raises(InvalidFile, match="unexpected weights"):
        load_model(base_copy, device=CPU)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"[]", "is not an object"),
        ("config.json", b"{", "is not JSON"),
        ("config.json", None, "is missing"),
        ("model.safetensors", None, "holds no weights"),
        ("model.safetensors", b"\x00" * 64, "header"),
    ],
)
def test_a_bad_folder_is_refused_by_the_file_that_is_bad(base_copy, name, content, message):
    if content is None:
        (base_copy / name).unlink()
    else:
        (base_copy / name).write_bytes(content)
    with pytest.raises(InvalidFile, match=message):
        check_directory(base_copy)


def test_no_folder_is_no_model(tmp_path):
    with pytest.raises(InvalidInput, match="is not a folder"):
        check_directory(tmp_path / "absent")


def test_a_folder_without_a_tokenizer_says_so(base_copy):
    (base_copy / "tokenizer.json").write_text("{}")
    with pytest.raises(InvalidFile, match="tokenizer"):
        load_tokenizer(base_copy)


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cuda:x", ""])
def test_a_device_that_is_not_here_is_named(name):
    with pytest.raises(InvalidInput, match="is not on this machine; allowed: auto, cpu"):
        resolve_device(name)


def test_loading_takes_no_network(base, monkeypatch):
    import socket

    def refuse(*arguments, **more):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    load_tokenizer(base)
    load_model(base, device=CPU)
