from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InvalidInput
from worker.reference import corpus

CODE = (
    'def area(width: float, height: float) -> float:\n    """Return the product."""\n    return width * height\n\n\n'
    * 4
)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def document(number: int) -> corpus.Document:
    return corpus.Document(digest=f"{number:064x}", package="p", text=f"x = {number}\n")


def test_tests_caches_and_nested_package_roots_are_not_searched(tmp_path):
    for name in ("good.py", "pkg/inner/deep.py"):
        write(tmp_path / name, CODE)
    for name in (
        "tests/a.py",
        "pkg/test_b.py",
        "pkg/c_pb2.py",
        "site-packages/d.py",
        "pkg/__pycache__/e.py",
        "f.txt",
    ):
        write(tmp_path / name, CODE)
    found = corpus.find_sources([tmp_path])
    assert [(path.relative_to(tmp_path).as_posix(), package) for path, package in found] == [
        ("good.py", "good"),
        ("pkg/inner/deep.py", "pkg"),
    ]
    root = tmp_path / "site-packages"
    assert [path.name for path, _ in corpus.find_sources([root])] == ["d.py"]


def test_the_project_itself_is_never_in_the_corpus():
    root = Path(corpus.__file__).parents[2]
    found = {path.relative_to(root).parts[0] for path, _ in corpus.find_sources([root])}
    assert not found & set(corpus.OWN_PACKAGES)


def test_a_root_that_is_no_directory_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"root: .*nowhere.* is not a directory"):
        corpus.find_sources([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    "content",
    [
        b"x = 1\n",
        CODE.encode() * 2000,
        b"# This file was automatically generated, do not edit.\n" + CODE.encode(),
        CODE.encode() + b"x = '" + b"a" * 2000 + b"'\n",
        (b"y = [" + b"1, 2, 3, 4, 5, 6, 7, 8, " * 3 + b"]\n") * 20,
        CODE.encode() + "s = 'é'\n".encode("latin-1"),
        CODE.encode() + b"\0",
        b"\n" * 400,
    ],
    ids=["tiny", "huge", "generated", "long line", "numbers", "latin-1", "binary", "empty lines"],
)
def test_what_would_teach_nothing_is_refused(content):
    assert corpus.accept(content) is None


def test_line_ends_are_normalised():
    assert corpus.accept(CODE.replace("\n", "\r\n").encode()) == CODE.strip() + "\n"


def test_equal_contents_count_once_and_order_ignores_paths(tmp_path):
    texts = [CODE + f"X = {number}\n" for number in range(20)]
    for number, text in enumerate(texts):
        write(tmp_path / "one" / f"a{number}.py", text)
        write(tmp_path / "two" / f"b{19 - number}.py", text)
        write(tmp_path / "two" / f"again{number}.py", text + "\n\n")
    one = corpus.read_corpus([tmp_path / "one"])
    both = corpus.read_corpus([tmp_path / "two", tmp_path / "one"])
    assert [d.digest for d in one] == [d.digest for d in both] == sorted({d.digest for d in one})
    assert len(one) == 20


def test_links_are_not_followed(tmp_path):
    write(tmp_path / "outside" / "secret.py", CODE)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "outside", target_is_directory=True)
    assert corpus.find_sources([inside]) == []


@settings(max_examples=40)
@given(numbers=st.sets(st.integers(0, 10_000), max_size=200), seed=st.integers(0, 100), share=st.floats(0, 1))
def test_the_split_is_a_deterministic_partition(numbers, seed, share):
    documents = [document(number) for number in numbers]
    first = corpus.split(documents, seed=seed, held_out_share=share)
    again = corpus.split(reversed(documents), seed=seed, held_out_share=share)
    assert first == again
    train, held_out = ({d.digest for d in part} for part in (first.train, first.held_out))
    assert not train & held_out
    assert train | held_out == {d.digest for d in documents}


def test_membership_does_not_depend_on_the_other_files_and_the_share_is_kept():
    documents = [document(number) for number in range(4000)]
    whole = corpus.split(documents, seed=3, held_out_share=0.1)
    half = corpus.split(documents[::2], seed=3, held_out_share=0.1)
    assert {d.digest for d in half.held_out} == {d.digest for d in whole.held_out} & {
        d.digest for d in documents[::2]
    }
    assert 330 < len(whole.held_out) < 470
    assert corpus.split(documents, seed=4, held_out_share=0.1) != whole
