"""The reference model and its evaluation text, shipped with the worker.

A small language model that the project trained itself, so that demonstrations, tests and measurements of
quantization run on a real trained model with no download. Importing this package loads neither torch nor
transformers; `corpus`, `tokenizer`, `model`, `train`, `make` and `card` are how the model came to be, `freeze` how
the evaluation text did.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path

import msgspec

from planner.errors import IntegrityFailure, InvalidFile, NotFound

MODEL_NAME = "reference-python-6m"
EVALUATION_NAME = "project-source"

_PACKAGE = "worker.reference"


class EvaluationDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One piece of held-out Python source; `id` is `path:first line` in the project's tree when it was frozen."""

    id: str
    text: str


def model_path() -> Path:
    """Return the directory of the trained model: config, BF16 safetensors, tokenizer and model card.

    Raises NotFound when the installation lacks it.
    """
    return resource("model")


def evaluation_path() -> Path:
    """Return the frozen evaluation text, a JSON Lines file of EvaluationDocument; raises NotFound when it is missing."""
    return resource("evaluation.jsonl")


def evaluation_digest() -> str:
    """Return the sha256 (hex) recorded when the evaluation text was frozen; raises NotFound when it is missing."""
    return resource("evaluation.sha256").read_text(encoding="ascii").split()[0]


def load_documents(limit: int | None = None) -> tuple[EvaluationDocument, ...]:
    """Return the evaluation documents in their frozen order, all of them or the first `limit`.

    Raises IntegrityFailure when the bytes are not those that were frozen, InvalidFile for a line that is no document.
    """
    path = evaluation_path()
    content = path.read_bytes()
    actual, expected = hashlib.sha256(content).hexdigest(), evaluation_digest()
    if actual != expected:
        raise IntegrityFailure(
            f"{path.name}: sha256 is {actual}, frozen was {expected}",
            path=path.name,
            expected=expected,
            actual=actual,
        )
    return read_documents(content, name=path.name)[:limit]


def read_documents(content: bytes, *, name: str) -> tuple[EvaluationDocument, ...]:
    """Decode JSON Lines into documents; raises InvalidFile naming the line that is none."""
    decoder = msgspec.json.Decoder(EvaluationDocument)
    documents: list[EvaluationDocument] = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            documents.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidFile(
                name, f"line {number}", str(error), allowed='{"id": text, "text": text}'
            ) from error
    return tuple(documents)


def resource(name: str) -> Path:
    """Return the path of a file that ships with the model; raises NotFound when the installation lacks it."""
    path = Path(str(files(_PACKAGE).joinpath(name)))
    if not path.exists():
        raise NotFound("file of the reference model", name)
    return path
