"""Whatever a file holds, reading it ends in a value or in InvalidFile or InvalidInput."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.domain.runtime import Runtime
from planner.errors import InvalidInput
from planner.ingest import binding, pairing
from planner.ingest.binding import Asked, File, Subject
from planner.ingest.combining import combine
from planner.ingest.recognition import detect, read
from planner.registry.checks import check_document
from tests.ingest import documents
from tests.ingest.documents import everything

FILES = everything()
SUBJECT = Subject(variant_id="v", weight_bytes=10**9, bits=4.5)
ASKED = Asked(
    device_id="d", runtime=None, input_tokens=None, output_tokens=None, concurrency=None, devices=None
)
VALUES: list[Any] = [
    None, True, -1, 0, 1e308, -1e308, 10**400, 1e-320, "", "x" * 5000, "\x00\ud800", [], {}, [[]], [None] * 3, {"a": {}}, float("nan"),
    float("inf"), "nan", "9" * 5000,
]  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key in value:
            found += _places(value[key], (*path, key))
    elif isinstance(value, list):
        for i in range(min(len(value), 3)):
            found += _places(value[i], (*path, i))
    return found


def _store(content: bytes, name: str) -> None:
    """Read, judge and bind as an import does, and check that what comes out can be stored."""
    imported = combine([read(content, name)])
    findings = list(imported.findings)
    file = (File(name=name, sha256="0" * 64, size=len(content)),)
    for draft in imported.profiles:
        runtime = draft.runtime or Runtime(name="vllm")
        asked = Asked(device_id="d", runtime=runtime, input_tokens=None, output_tokens=None, concurrency=None)
        check_document(
            "profile",
            binding.profile(draft, imported, subject=SUBJECT, asked=asked, files=file, findings=findings),
        )
    for loss in imported.losses:
        check_document("evaluation", pairing.compared(loss, imported, SUBJECT, "b", file))
    for made in pairing.evaluations(imported, imported, SUBJECT, "b", files=file, findings=findings):
        check_document("evaluation", made)


@settings(max_examples=500, deadline=None)
@given(name=st.sampled_from(sorted(FILES)), seed=st.integers(0, 2**32), changes=st.integers(1, 4))
def test_changed_documents(name: str, seed: int, changes: int) -> None:
    rng = random.Random(seed)
    content = FILES[name]
    try:
        document = json.loads(content)
    except ValueError:
        text = bytearray(content)
        for _ in range(changes):
            at = rng.randrange(len(text))
            text[at : at + rng.randrange(20)] = rng.choice(
                [b"", b"9" * 400, b"-nan", b"\xff", b"\n", b": ", b"{", b"GiB"]
            )
        content = bytes(text)
    else:
        for _ in range(changes):
            path = rng.choice(_places(document))
            here = document
            for step in path[:-1]:
                here = here[step]
            if rng.random() < 0.2 and isinstance(here, dict):
                del here[path[-1]]
            else:
                here[path[-1]] = deepcopy(rng.choice(VALUES))
            if not _places(document):
                break
        content = json.dumps(document).encode("utf-8", "surrogatepass")
    with suppress(InvalidInput):
        _store(content, name)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(FILES)), cut=st.floats(0, 1), tail=st.binary(max_size=20))
def test_cut_files(name: str, cut: float, tail: bytes) -> None:
    content = FILES[name]
    with suppress(InvalidInput):
        _store(content[: int(len(content) * cut)] + tail, name)


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=400))
def test_any_bytes(content: bytes) -> None:
    with suppress(InvalidInput):
        read(content, "x")


@pytest.mark.parametrize("opening", ["[", '{"results":', '{"a":[', '{"report":{"prefill":'])
def test_deep_nesting_is_refused(opening: str) -> None:
    with pytest.raises(InvalidInput):
        read((opening * 100_000).encode(), "deep.json")


def test_numbers_of_thousands_of_digits_are_refused() -> None:
    with pytest.raises(InvalidInput):
        read(b'{"completed": ' + b"9" * 10_000 + b', "duration": 1, "mean_ttft_ms": 1, "burstiness": 1}', "x")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "content",
    [
        "MLPerf Results Summary\n" + " " * 300_000,
        "Mean PPL(Q)" + "computing over 1 chunks" * 20_000,
        "KL divergence statistics" + "\n" * 300_000,
        "a model buffer size" + ": " * 200_000 + "KV buffer size",
        "{" * 300_000 + "}",
        "Mean" + " " * 300_000 + "KL divergence statistics",
    ],
)
def test_text_made_to_keep_a_pattern_busy_is_refused_soon(content: str) -> None:
    with pytest.raises(InvalidInput):
        read(content.encode(), "x")


def test_detection_never_raises_for_another_format() -> None:
    for content in FILES.values():
        assert detect(content, "x")


def test_a_file_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.ingest.source.MAX_FILE_BYTES", 100)
    with pytest.raises(InvalidInput, match="at most 100 bytes"):
        read(documents.encoded(documents.vllm_serve()), "x")
