import hashlib
import json
import subprocess
import sys

import pytest

from planner.errors import IntegrityFailure, InvalidFile, NotFound
from worker import reference
from worker.reference import sizes


def test_the_package_and_its_commands_load_without_torch():
    code = (
        "import sys, worker.reference, worker.reference.command, worker.reference.freeze;"
        "worker.reference.load_documents();"
        "print(sorted({'torch', 'transformers', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_shipped_files_are_complete_and_small():
    files = {path.name: path.stat().st_size for path in reference.model_path().iterdir()}
    assert set(files) == {
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(files.values()) <= sizes.SMALL_STORED_BYTES == 12_000_000


def test_every_stored_tensor_is_bf16_and_the_card_counts_them_right():
    from worker.reference.model import ModelShape

    with (reference.model_path() / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    header.pop("__metadata__", None)
    parameters = 0
    for entry in header.values():
        assert entry["dtype"] == "BF16"
        start, end = entry["data_offsets"]
        parameters += (end - start) // 2
    assert parameters == ModelShape().parameters
    assert f"| parameters | {parameters:,} " in (reference.model_path() / "README.md").read_text(
        encoding="utf-8"
    )


def test_the_evaluation_text_is_whole_varied_and_of_one_size_class():
    documents = reference.load_documents()
    assert len(documents) >= 64
    assert (
        len({document.id for document in documents})
        == len({document.text for document in documents})
        == len(documents)
    )
    assert all(800 <= len(document.text) <= 2200 for document in documents)
    assert (
        reference.evaluation_digest() == hashlib.sha256(reference.evaluation_path().read_bytes()).hexdigest()
    )
    assert reference.load_documents(5) == documents[:5]


def test_a_changed_evaluation_text_is_refused(tmp_path, monkeypatch):
    content = reference.evaluation_path().read_bytes()
    (tmp_path / "evaluation.jsonl").write_bytes(content.replace(b"return", b"retunr", 1))
    (tmp_path / "evaluation.sha256").write_text(f"{reference.evaluation_digest()}  evaluation.jsonl\n")
    monkeypatch.setattr(reference, "files", lambda _package: tmp_path)
    with pytest.raises(IntegrityFailure, match="sha256"):
        reference.load_documents()


def test_a_missing_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "files", lambda _package: tmp_path)
    with pytest.raises(NotFound, match=r"evaluation\.sha256"):
        reference.evaluation_digest()


@pytest.mark.parametrize(
    "line", [b"{", b'{"id": 1, "text": "x"}', b'{"id": "a", "text": "x", "more": 1}', b"\xff"]
)
def test_a_line_that_is_no_document_is_named(line):
    good = b'{"id": "a", "text": "x"}\n'
    with pytest.raises(InvalidFile, match=r"own\.jsonl: line 2"):
        reference.read_documents(good + line, name="own.jsonl")
