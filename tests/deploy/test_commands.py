"""Every command is read by the runtime's own parser, or by one made from its documented list of options."""

import argparse
import json
import math
import shlex
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from planner.cli.verbs.deploy import document_of, shell_line
from planner.deploy.deploying import deploy
from planner.deploy.deployment import DeployOptions, Step, Target
from planner.deploy.loading import refusal
from planner.deploy.lock import LOCK_VERSION
from planner.deploy.runtimes import RUNTIMES
from planner.domain.device import DeviceKind
from planner.domain.scenario import Hardware
from planner.domain.units import GIB
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from tests.deploy.records import (
    BF16,
    CPU,
    FP8_CACHE,
    GGUF,
    GGUF_Q8_CACHE,
    GPU,
    NF4,
    PUBLISHED,
    UNKNOWN,
    WORKLOAD,
    lock_of,
)

OPTIONS = Path(__file__).parent / "options"
TWO = Hardware(device_id=GPU.id, count=2)


def parser(name: str) -> argparse.ArgumentParser:
    """Return a parser of exactly the options that a runtime documents, each with at most one value."""
    known = json.loads((OPTIONS / f"{name}.json").read_text())
    made = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    made.add_argument("positional", nargs="*")
    for option in known["options"]:
        if option not in {"--help", "--version"}:
            made.add_argument(option, nargs="?", const=True, choices=known["choices"].get(option))
    return made


def served(lock, target, **options):
    made = deploy(lock, DeployOptions(target=target, **options))
    return made, made.commands[-1].words


def parsed(name, words):
    result, unknown = parser(name).parse_known_args(list(words))
    assert unknown == []
    return result


@pytest.mark.parametrize("of", [BF16, FP8_CACHE], ids=["bf16", "fp8-cache"])
@pytest.mark.parametrize("hardware", [Hardware(device_id=GPU.id), TWO, Hardware(memory_bytes=48 * GIB)])
def test_vllm_takes_the_command(of, hardware):
    lock = lock_of(of, hardware=hardware, runtime="vllm")
    _, words = served(lock, Target.VLLM, port=9000, name="chat")
    assert words[:2] == ("vllm", "serve")
    said = parsed("vllm-0.33.0", words[2:])
    assert said.positional == [f"models/{of.name}"]
    assert said.served_model_name == "chat"
    assert (said.host, said.port) == ("127.0.0.1", "9000")
    assert int(said.max_model_len) == WORKLOAD.context_tokens
    assert int(said.max_num_seqs) == WORKLOAD.concurrency
    assert said.kv_cache_dtype == ("fp8" if of is FP8_CACHE else None)
    assert said.tensor_parallel_size == (None if hardware.count == 1 else "2")
    share = float(said.gpu_memory_utilization)
    capacity = lock.placement.capacity_bytes
    assert capacity is not None
    assert lock.runtime is not None
    assert 0 < share <= 0.98
    assert share * capacity > lock.runtime.peak_bytes * 0.99


def test_more_concurrency_takes_a_larger_share_of_memory():
    shares = []
    for concurrency in (1, 8, 32):
        lock = lock_of(BF16, workload=Workload(input_tokens=2000, output_tokens=500, concurrency=concurrency))
        shares.append(float(parsed("vllm-0.33.0", served(lock, Target.VLLM)[1][2:]).gpu_memory_utilization))
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_without_memory_no_share_is_set_and_it_is_said():
    made, words = served(lock_of(BF16, hardware=None, runtime="vllm"), Target.VLLM)
    assert "--gpu-memory-utilization" not in words
    assert any("names no memory" in note for note in made.notes)


@pytest.mark.parametrize("of", [BF16, FP8_CACHE, NF4], ids=["bf16", "fp8-cache", "nf4"])
def test_sglang_takes_the_command(of):
    lock = lock_of(of, hardware=TWO, runtime="sglang")
    _, words = served(lock, Target.SGLANG)
    assert words[:3] == ("python3", "-m", "sglang.launch_server")
    said = parsed("sglang-0.5.23", words[3:])
    assert said.model_path == f"models/{of.name}"
    assert int(said.context_length) == WORKLOAD.context_tokens
    assert int(said.max_running_requests) == WORKLOAD.concurrency
    assert said.kv_cache_dtype == ("fp8_e4m3" if of is FP8_CACHE else None)
    assert said.tp_size == "2"
    assert said.quantization == ("bitsandbytes" if of is NF4 else None)
    assert 0 < float(said.mem_fraction_static) <= 0.98


@pytest.mark.parametrize("of", [GGUF, GGUF_Q8_CACHE], ids=["two files", "quantized cache"])
def test_llama_server_takes_the_command(of):
    _, words = served(lock_of(of, hardware=TWO, runtime="llama.cpp"), Target.LLAMA_CPP)
    said = parsed("llama-server", words[1:])
    assert words[0] == "llama-server"
    assert said.model.endswith(".gguf")
    assert "00002-of" not in said.model  # the first part leads to the others
    slot = int(said.ctx_size) / WORKLOAD.concurrency
    assert slot == math.ceil(WORKLOAD.context_tokens / 256) * 256
    assert int(said.parallel) == WORKLOAD.concurrency
    assert said.n_gpu_layers == "all"
    assert (said.split_mode, said.tensor_split) == ("layer", "1,1")
    expected = ("q8_0", "q8_0", "on") if of is GGUF_Q8_CACHE else (None, None, None)
    assert (said.cache_type_k, said.cache_type_v, said.flash_attn) == expected


def test_on_a_processor_no_layer_goes_to_a_gpu():
    lock = lock_of(GGUF, hardware=Hardware(device_id=CPU.id), device=CPU)
    assert parsed("llama-server", served(lock, Target.LLAMA_CPP)[1][1:]).n_gpu_layers == "0"


@pytest.mark.parametrize("concurrency", [1, 8])
def test_transformers_takes_the_command(concurrency):
    pytest.importorskip("transformers.cli")
    from transformers.cli.transformers import app
    from typer.main import get_command

    lock = lock_of(BF16, runtime="transformers", workload=Workload(concurrency=concurrency))
    made, words = served(lock, Target.TRANSFORMERS)
    assert words[:2] == ("transformers", "serve")
    group: Any = app if hasattr(app, "get_command") else get_command(app)  # a click group in some versions
    serve = group.get_command(None, "serve")
    context = serve.make_context("serve", list(words[2:]))
    assert context.params["force_model"] == made.served_name == f"models/{BF16.name}"
    assert context.params["port"] == 8000
    assert context.params["continuous_batching"] is (concurrency > 1)
    if concurrency > 1:
        assert 0 < context.params["cb_max_memory_percent"] < 1


@pytest.mark.parametrize(
    ("of", "runtime", "reason", "instead"),
    [
        (GGUF_Q8_CACHE, "vllm", "cannot load gguf", "llama.cpp"),
        (GGUF, "transformers", "dequantizes", "llama.cpp"),
        (GGUF, "sglang", "cannot load gguf", "llama.cpp"),
        (BF16, "llama.cpp", "GGUF files only", "vllm, sglang, transformers"),
        (NF4, "vllm", "bitsandbytes", "sglang, transformers"),
        (FP8_CACHE, "transformers", "no KV cache of fp8", "vllm, sglang"),
    ],
)
def test_what_the_runtime_cannot_load_is_refused_with_what_can(of, runtime, reason, instead):
    with pytest.raises(InvalidInput) as caught:
        lock_of(of, runtime=runtime)
    assert caught.value.details["field"] == "runtime"
    assert reason in caught.value.details["problem"]
    assert caught.value.details["allowed"] == instead


def test_gpu_runtimes_are_refused_on_a_processor():
    for name in ("vllm", "sglang"):
        assert "cpu" in (refusal(RUNTIMES[name], BF16, DeviceKind.CPU) or "")
    assert refusal(RUNTIMES["transformers"], BF16, DeviceKind.CPU) is None


def test_every_refusal_that_can_be_asked_for_has_its_text():
    for facts in RUNTIMES.values():
        for kind in DeviceKind:
            for of in (BF16, GGUF, NF4, FP8_CACHE, UNKNOWN):
                said = refusal(facts, of, kind)
                assert said is None or len(said) > 20


def test_files_that_are_nowhere_are_asked_for():
    lock = lock_of(PUBLISHED)
    with pytest.raises(InvalidInput, match="does not hold the files"):
        deploy(lock, DeployOptions(target=Target.VLLM))
    made, words = served(lock, Target.VLLM, model="org/repo")
    assert words[2] == "org/repo"
    assert len(made.commands) == 1
    assert any("not checked" in note for note in made.notes)


def test_the_lock_decides_the_runtime_and_its_flags():
    lock = lock_of(BF16, runtime="vllm")
    with pytest.raises(InvalidInput, match="the lock is for vllm"):
        deploy(lock, DeployOptions(target=Target.SGLANG))
    assert lock.runtime is not None
    first, *rest = lock.runtime.arguments
    edited = msgspec.structs.replace(first, words=("--max-model-len", "512"))
    changed = msgspec.structs.replace(
        lock, runtime=msgspec.structs.replace(lock.runtime, arguments=(edited, *rest), version="0.1")
    )
    made, words = served(changed, Target.VLLM)
    assert words[words.index("--max-model-len") + 1] == "512"
    assert any("written for vllm 0.1" in note for note in made.notes)


def test_a_device_that_is_not_used_is_told():
    made, _ = served(lock_of(BF16, hardware=Hardware(device_id=GPU.id, count=3), runtime="vllm"), Target.VLLM)
    assert any(" of 3 devices" in note for note in made.notes)


@given(st.lists(st.text(st.characters(exclude_characters="\x00\\", exclude_categories=["Cs"])), min_size=1))
@example(["--", "a b", "--c=$d"])
def test_a_shell_reads_the_words_back(words):
    step = Step(purpose="x", words=("printf", *words))
    # A shell drops a backslash at the end of a line; shlex does not know that.
    assert shlex.split(shell_line(step).replace(" \\\n  ", " ")) == list(step.words)


def test_a_real_shell_runs_the_script_as_written(tmp_path):
    name = 'it\'s a "test" $(touch pwned) `touch pwned` ; touch pwned #\\'
    made = deploy(lock_of(BF16, runtime="vllm"), DeployOptions(target=Target.VLLM, name=name))
    script = tmp_path / "serve.sh"
    script.write_text(document_of(made).content)
    for program in ("planner", "vllm"):
        stand_in = tmp_path / program
        stand_in.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{tmp_path}/{program}.words"\n')
        stand_in.chmod(0o755)
    subprocess.run(["sh", str(script)], check=True, cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert (tmp_path / "vllm.words").read_text().splitlines() == list(made.commands[1].words[1:])
    assert (tmp_path / "planner.words").read_text().splitlines() == list(made.commands[0].words[1:])
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"port": 0}, {"port": 70000}, {"name": ""}, {"name": "-x"}, {"name": "a\nb"}, {"image": "a b"}, {"image": "$(x)"},
        {"fetch_from": "file:///etc"}, {"fetch_from": "http://u:p@h"}, {"namespace": "A"}, {"namespace": "a" * 64},
        {"model": "--flag"}, {"replicas": 0}, {"planner_image": "-x"}, {"fetch_from": "http://h:99999"},
    ],
)  # fmt: skip
def test_options_that_cannot_be_meant_are_refused(options):
    with pytest.raises(InvalidInput) as caught:
        DeployOptions(target=Target.KUBERNETES, **options)
    assert caught.value.details["field"] in options


def test_locks_of_this_version_are_written():
    assert lock_of(BF16).lock_version == LOCK_VERSION
