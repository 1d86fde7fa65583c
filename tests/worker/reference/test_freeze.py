import hashlib
from pathlib import Path

import pytest
import rich_click as click
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InvalidInput
from worker.reference import freeze, read_documents
from worker.reference.command import freeze_command

ROOT = Path(__file__).parents[3]


def test_the_same_tree_freezes_to_the_same_bytes(tmp_path):
    copy = tmp_path / "tree"
    for path in (ROOT / "planner").rglob("*.py"):
        target = copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    results = [freeze.freeze(copy, tmp_path / name, documents=64) for name in ("one", "two")]
    assert results[0] == results[1]
    count, size, digest = results[0]
    content = (tmp_path / "one" / "evaluation.jsonl").read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (size, digest)
    assert (tmp_path / "one" / "evaluation.sha256").read_text() == f"{digest}  evaluation.jsonl\n"
    assert len(read_documents(content, name="evaluation.jsonl")) == count == 64


def test_no_file_gives_a_second_piece_before_each_has_given_one():
    chosen = freeze.choose(ROOT, 96)
    files = [document.id.rsplit(":", 1)[0] for document in chosen]
    turns = [files[:index].count(name) for index, name in enumerate(files)]
    assert turns == sorted(turns)


def test_an_id_points_at_the_text():
    for document in freeze.choose(ROOT, 64):
        name, line = document.id.rsplit(":", 1)
        following = "".join(
            (ROOT / name).read_text(encoding="utf-8").splitlines(keepends=True)[int(line) - 1 :]
        )
        assert following.lstrip("\n").startswith(document.text.rstrip("\n"))


@settings(max_examples=50)
@given(
    st.lists(
        st.sampled_from(
            ["x = 1\n", "\n", "    y = 2\n", "\n\n", "def f():\n", "z" * 300 + "\n", "q" * 2500 + "\n"]
        )
    )
)
def test_pieces_are_in_bounds_in_order_and_parts_of_the_source(parts):
    text = "".join(parts)
    position = 0
    for line, piece in freeze.split_source(text):
        assert len(piece) <= freeze.MAX_CHARACTERS + 1
        found = text.find(piece.rstrip("\n"), position)
        assert found >= position
        position = found + len(piece) - 1
        assert line <= text.count("\n") + 1


def test_a_tree_with_too_little_source_is_refused(tmp_path):
    (tmp_path / "planner").mkdir()
    with pytest.raises(InvalidInput, match=r"root: .* gives 0 documents"):
        freeze.choose(tmp_path, 96)
    with pytest.raises(InvalidInput, match="documents: 3 documents; allowed: 64 or more"):
        freeze.choose(ROOT, 3)


def test_the_command_writes_and_says_the_digest(tmp_path):
    assert isinstance(freeze_command, click.Command)
    result = CliRunner().invoke(freeze_command, ["--root", str(ROOT), "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    digest = hashlib.sha256((tmp_path / "evaluation.jsonl").read_bytes()).hexdigest()
    assert digest in result.output.replace("\n", "")
