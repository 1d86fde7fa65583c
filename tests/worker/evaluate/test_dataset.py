from __future__ import annotations

import hashlib

import pytest

from planner.errors import InvalidFile, InvalidInput
from worker.evaluate.dataset import read_dataset, reference_dataset

pytestmark = pytest.mark.worker


def test_json_lines_keep_ids_and_the_files_digest(text_file):
    dataset = read_dataset(text_file)
    assert dataset.name == "documents"
    assert dataset.digest == "sha256:" + hashlib.sha256(text_file.read_bytes()).hexdigest()
    assert [document.id for document in dataset.documents] == [f"d{number}" for number in range(6)]


def test_a_limit_is_part_of_the_name(text_file):
    dataset = read_dataset(text_file, name="mine").first(2)
    assert dataset.name == "mine[:2]"
    assert len(dataset.documents) == 2
    assert read_dataset(text_file).first(99) == read_dataset(text_file)
    with pytest.raises(InvalidInput):
        dataset.first(0)


def test_plain_text_is_cut_at_blank_lines_and_nothing_is_lost(tmp_path):
    path = tmp_path / "book.txt"
    text = "".join(f"paragraph {number} " + "word " * 120 + "\n\n" for number in range(20))
    path.write_text(text)
    dataset = read_dataset(path)
    assert "".join(document.text for document in dataset.documents) == text
    assert len(dataset.documents) > 4
    assert all(document.text.startswith("paragraph") for document in dataset.documents)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"body": "y"}\n', "line 2"),
        ("a.jsonl", b"not json\n", "line 1"),
        ("a.jsonl", b'{"id": 1, "text": "x"}\n{"id": 1, "text": "y"}\n', "occurs twice"),
        ("a.jsonl", b"\n\n", "holds no text"),
        ("a.txt", b"\xff\xfe\xfa", "is not UTF-8"),
        ("a.txt", b"  \n ", "holds no text"),
    ],
)
def test_a_bad_file_is_refused_at_the_place_that_is_bad(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidFile, match=message):
        read_dataset(tmp_path / name)


def test_no_file_is_no_data_set(tmp_path):
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_dataset(tmp_path / "absent.txt")


def test_the_reference_text_is_a_data_set():
    dataset = reference_dataset()
    assert len(dataset.documents) >= 64
    assert dataset.digest.startswith("sha256:")
