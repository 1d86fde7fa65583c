from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf.quants import quantize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.artifacts.headers.gguf import read_gguf
from planner.artifacts.inspection import inspect
from planner.domain.scheme import NumberFormat
from planner.domain.variant import FileFormat
from planner.errors import InvalidFile
from tests.artifacts.writers import HIDDEN, INTERMEDIATE, KV_HEADS, LAYERS, PARAMETERS, VOCAB

KINDS = gguf.GGMLQuantizationType
FILE_TYPES = gguf.LlamaFileType
SHAPES = {
    "attn_q": (HIDDEN, HIDDEN),
    "attn_k": (HIDDEN // 2, HIDDEN),
    "attn_v": (HIDDEN // 2, HIDDEN),
    "attn_output": (HIDDEN, HIDDEN),
    "ffn_gate": (INTERMEDIATE, HIDDEN),
    "ffn_up": (INTERMEDIATE, HIDDEN),
    "ffn_down": (HIDDEN, INTERMEDIATE),
}


def write(
    path: Path,
    kind: Any = KINDS.F16,
    *,
    file_type: Any = None,
    head: bool = True,
    kinds: Callable[[str], Any] | None = None,
    more: Callable[[Any], None] | None = None,
    **splits: int,
) -> dict[str, Path]:
    """Write the tiny Llama with the reference writer, gguf-py."""
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama", **splits)
    writer.add_name("Tiny Llama")
    writer.add_license("apache-2.0")
    writer.add_base_model_count(1)
    writer.add_base_model_repo_url(0, "https://huggingface.co/some/base")
    writer.add_context_length(256)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INTERMEDIATE)
    writer.add_head_count(4)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_token_list([f"<{i}>" for i in range(VOCAB)])
    writer.add_token_scores([0.0] * VOCAB)
    if file_type is not None:
        writer.add_file_type(file_type)
    if more is not None:
        more(writer)

    def add(name: str, shape: tuple[int, ...]) -> None:
        chosen = KINDS.F32 if len(shape) == 1 else kinds(name) if kinds else kind
        data = random.standard_normal(shape, dtype=np.float32)
        writer.add_tensor(name, quantize(data, chosen), raw_dtype=chosen)

    add("token_embd.weight", (VOCAB, HIDDEN))
    for layer in range(LAYERS):
        for name, shape in SHAPES.items():
            add(f"blk.{layer}.{name}.weight", shape)
        add(f"blk.{layer}.attn_norm.weight", (HIDDEN,))
        add(f"blk.{layer}.ffn_norm.weight", (HIDDEN,))
    add("output_norm.weight", (HIDDEN,))
    if head:
        add("output.weight", (VOCAB, HIDDEN))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {file.name: file for file in sorted(path.parent.glob("*.gguf"))}


@pytest.mark.parametrize(
    ("kind", "file_type", "number", "bits"),
    [
        (KINDS.F32, FILE_TYPES.ALL_F32, NumberFormat.FP32, 32.0),
        (KINDS.F16, FILE_TYPES.MOSTLY_F16, NumberFormat.FP16, 16.0),
        (KINDS.BF16, FILE_TYPES.MOSTLY_BF16, NumberFormat.BF16, 16.0),
        (KINDS.Q8_0, FILE_TYPES.MOSTLY_Q8_0, NumberFormat.Q8_0, 8.5),
        (KINDS.Q5_0, FILE_TYPES.MOSTLY_Q5_0, NumberFormat.Q5_0, 5.5),
        (KINDS.Q5_1, FILE_TYPES.MOSTLY_Q5_1, NumberFormat.Q5_1, 6.0),
        (KINDS.Q4_0, FILE_TYPES.MOSTLY_Q4_0, NumberFormat.Q4_0, 4.5),
        (KINDS.Q4_1, None, NumberFormat.Q4_1, 5.0),
        (KINDS.MXFP4, None, NumberFormat.MXFP4, 4.25),
    ],
)
def test_files_of_the_reference_writer(
    tmp_path: Path, kind: Any, file_type: Any, number: NumberFormat, bits: float
):
    files = write(tmp_path / "model.gguf", kind, file_type=file_type)
    found = inspect(files)
    reference = gguf.GGUFReader(files["model.gguf"])
    assert found.weight_bytes == sum(int(tensor.n_bytes) for tensor in reference.tensors)
    assert found.parameters == sum(int(tensor.n_elements) for tensor in reference.tensors) == PARAMETERS
    assert found.tensors == len(reference.tensors)
    assert found.scheme.weight.format is number
    assert found.scheme.name == number.value
    norms = (2 * LAYERS + 1) * HIDDEN
    assert found.weight_bytes == 4 * norms + (PARAMETERS - norms) * bits / 8
    assert found.file_format is FileFormat.GGUF
    assert (found.name, found.license, found.base_model) == ("Tiny Llama", "apache-2.0", "some/base")
    assert found.architecture is not None
    assert found.architecture.parameters == PARAMETERS
    assert found.architecture.max_context == 256
    assert found.warnings == ()


def test_offsets_are_those_of_the_reference_reader(tmp_path: Path):
    path = write(tmp_path / "model.gguf", KINDS.Q8_0)["model.gguf"]
    reference = gguf.GGUFReader(path)
    ours = {t.name: (t.dtype, t.shape, t.nbytes, t.offset) for t in read_gguf(path, "model.gguf").tensors}
    assert ours == {
        t.name: (
            t.tensor_type.name,
            tuple(int(n) for n in reversed(t.shape)),
            int(t.n_bytes),
            int(t.data_offset),
        )
        for t in reference.tensors
    }


def test_tied_output(tmp_path: Path):
    found = inspect(write(tmp_path / "model.gguf", head=False))
    assert found.architecture is not None
    assert found.architecture.tied_embeddings
    assert found.architecture.parameters == found.parameters == PARAMETERS - VOCAB * HIDDEN


def test_a_mix_keeps_its_name(tmp_path: Path):
    def kinds(name: str) -> Any:
        return KINDS.Q5_0 if "attn_v" in name else KINDS.Q8_0 if "output.weight" in name else KINDS.Q4_0

    files = write(tmp_path / "model.gguf", kinds=kinds, file_type=FILE_TYPES.MOSTLY_Q4_K_M)
    assert inspect(files).scheme.name == "q4_k_m"
    unnamed = inspect(write(tmp_path / "model.gguf", kinds=kinds))
    assert unnamed.scheme.name == "q4_0-mixed"
    assert "q5_0" in unnamed.warnings[0]


@pytest.mark.parametrize(
    ("kind", "file_type", "message"),
    [
        (
            KINDS.F16,
            FILE_TYPES.MOSTLY_Q4_K_M,
            "says q4_k_m, but most weights are stored as fp16: quantization was not",
        ),
        (KINDS.Q8_0, FILE_TYPES.MOSTLY_Q4_0, "says q4_0, but most weights are stored as q8_0"),
        (KINDS.Q4_0, FILE_TYPES.MOSTLY_F16, "says f16, but"),
        (KINDS.F16, 999, "999 is unknown"),
    ],
)
def test_a_file_type_that_contradicts_the_tensors(tmp_path: Path, kind: Any, file_type: Any, message: str):
    with pytest.raises(InvalidFile, match=rf"general\.file_type: {message}"):
        inspect(write(tmp_path / "model.gguf", kind, file_type=file_type))


def test_splits(tmp_path: Path):
    files = write(tmp_path / "model.gguf", split_max_tensors=8)
    assert len(files) > 1
    assert inspect(files).parameters == PARAMETERS
    missing = dict(list(files.items())[:-1])
    with pytest.raises(InvalidFile, match="is missing"):
        inspect(missing)
    names = list(files)
    swapped = {**files, names[0]: files[names[1]], names[1]: files[names[0]]}
    with pytest.raises(InvalidFile, match=r"split\.no"):
        inspect(swapped)
    with pytest.raises(InvalidFile, match="one of 2 GGUF files"):
        inspect({"a.gguf": files[names[0]], "b.gguf": files[names[0]]})


def test_layers_of_different_shape_leave_the_architecture_unknown(tmp_path: Path):
    files = write(tmp_path / "model.gguf", more=lambda w: w.add_array("llama.attention.key_length", [32, 64]))
    found = inspect(files)
    assert found.architecture is None
    assert "unknown" in found.warnings[0]


def test_other_networks_are_refused(tmp_path: Path):
    path = tmp_path / "mmproj.gguf"
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_tensor("v.weight", np.zeros((4, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(InvalidFile, match="'clip' is not a language model"):
        inspect({"mmproj.gguf": path})


# -- hostile files ------------------------------------------------------------------------------------------------


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def built(
    pairs: bytes = b"", infos: bytes = b"", *, count: int = 1, data: bytes = b"", version: int = 3
) -> bytes:
    """Return a file with `count` pairs or tensors, whichever are given."""
    head = (
        b"GGUF" + struct.pack("<IQQ", version, count if infos else 0, count if pairs else 0) + pairs + infos
    )
    return head + b"\0" * (-len(head) % 32 if infos else 0) + data


def info(name: str, shape: tuple[int, ...] = (32,), kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def number(key: str, value: int) -> bytes:
    return text(key) + struct.pack("<II", 4, value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "magic: needs 4 bytes"),
        (b"GGML" + bytes(40), "magic: is not GGUF"),
        (built(version=1), "version: 1 is not supported"),
        (built(version=0x03000000), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0), "tensor count: 9223372036854775808 is out of range"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**40), "key count: .* is out of range"),
        (built(struct.pack("<Q", 2**62)), "key 0: 4611686018427387904 is out of range"),
        (built(text("k") + struct.pack("<IQ", 8, 50_000_000)), "k: needs 50000000 bytes"),
        (built(text("k") + struct.pack("<IIQ", 9, 4, 2**61)), "k: 2305843009213693952 is out of range"),
        (built(text("k") + struct.pack("<IIQ", 9, 4, 3_000_000)), "k: needs 12000000 bytes"),
        (built(text("k") + struct.pack("<IIQ", 9, 8, 3_000_000)), "k: needs 8 bytes"),
        (built(text("k") + struct.pack("<IIQ", 9, 9, 1)), "k: list items of type 9"),
        (built(text("k") + struct.pack("<I", 77)), "k: value type 77 is unknown"),
        (built(number("k", 1) * 2, count=2), "k: appears twice"),
        (built(struct.pack("<Q", 1) + b"\xff"), "key 0: is not UTF-8"),
        (built(number("general.alignment", 3)), "general.alignment: 3 is not possible"),
        (built(number("general.alignment", 0)), "general.alignment"),
        (built(infos=info("a", (2**40, 2**40))), r"'a': shape .* is not possible"),
        (built(infos=info("a", (0,))), r"'a': shape .* is not possible"),
        (
            built(infos=info("a", (33,), kind=2)),
            "'a': rows of 33 do not divide; allowed: multiples of 32",
        ),
        (built(infos=info("a", kind=5)), "'a': type 5 is unknown"),
        (
            built(infos=text("a") + struct.pack("<I", 2**31) + bytes(64)),
            "'a': 2147483648 dimensions",
        ),
        (built(infos=info("a"), data=bytes(127)), "is truncated"),
        (built(infos=info("a"), data=bytes(200)), "bytes after the last tensor"),
        (built(infos=info("a", offset=32), data=bytes(160)), "'a': offset 32 instead of 0"),
        (built(infos=info("a") + info("a", offset=128), count=2, data=bytes(256)), "'a': appears twice"),
        (
            built(infos=info("a") + info("b", offset=64), count=2, data=bytes(256)),
            "'b': offset 64 instead of 128",
        ),
    ],
)
def test_lies_are_named(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(InvalidFile, match=message):
        read_gguf(path, "model.gguf")


def test_metadata_of_all_types(tmp_path: Path):
    pairs = (
        text("flag") + struct.pack("<IB", 7, 1)
        + text("list") + struct.pack("<IIQ3i", 9, 5, 3, -1, 0, 1)
        + text("words") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("bc")
        + text("long") + struct.pack("<IIQ", 9, 0, 5000) + bytes(5000)
        + text("text") + struct.pack("<I", 8) + text("é")
    )  # fmt: skip
    path = tmp_path / "model.gguf"
    path.write_bytes(built(pairs, count=5))
    header = read_gguf(path, "model.gguf")
    assert header.metadata == {"flag": True, "list": (-1, 0, 1), "text": "é"}
    assert header.lengths == {"list": 3, "words": 2, "long": 5000}


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    return write(path, KINDS.Q4_0, file_type=FILE_TYPES.MOSTLY_Q4_0)["model.gguf"].read_bytes()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_or_missing_byte_is_read_or_refused(tmp_path: Path, valid: bytes, data: st.DataObject):
    content = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, 9000))] = data.draw(st.integers(0, 255))
    path = tmp_path / "model.gguf"
    path.write_bytes(
        content[: data.draw(st.sampled_from([len(content), 0, 5, 100, 3000, 9000, len(content) - 1]))]
    )
    try:
        found = inspect({"model.gguf": path})
    except InvalidFile:
        return
    assert found.weight_bytes <= len(content)
