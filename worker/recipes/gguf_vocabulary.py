"""A tokenizer as llama.cpp needs it: tokens, their types, merges or scores, special ids, and the name of a pre-tokenizer.

llama.cpp does not read a pre-tokenizer's rules, it knows a list of them by name; so the rules in `tokenizer.json` must be
ones it has a name for, else text would be split differently without a word, and the export is refused. The rules and
names are those of ggml-org/llama.cpp, src/llama-vocab.cpp.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import gguf
import msgspec

from planner.errors import InvalidFile

_FILE: Final = "tokenizer.json"
_GPT2: Final = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_QWEN2: Final = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_NAMES: Final[Mapping[tuple[tuple[str, ...], bool], str]] = {
    ((_GPT2,), False): "gpt-2",
    (("digits", _GPT2), False): "smollm",
    ((_LLAMA3,), True): "llama-bpe",
    ((_LLAMA3,), False): "smaug-bpe",
    ((_QWEN2,), False): "qwen2",
}
"""Names by the steps of splitting, and by whether a word that is a token itself is taken before its merges."""

_BYTE: Final = re.compile(r"<0x[0-9A-F]{2}>")
_METASPACE: Final = "\u2581"


def add_vocabulary(writer: gguf.GGUFWriter, base: Path, size: int) -> None:
    """Write the tokenizer in the folder `base` for a model with `size` tokens.

    Raises InvalidFile naming the part of `tokenizer.json` that llama.cpp has no counterpart for.
    """
    try:
        document: dict[str, Any] = msgspec.json.decode((base / _FILE).read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        raise InvalidFile(_FILE, "", "is missing", allowed="a fast tokenizer") from None
    except msgspec.MsgspecError as error:
        raise InvalidFile(_FILE, "", f"is not a JSON object: {error}") from error
    model = document.get("model") or {}
    if model.get("type", "BPE") != "BPE":
        raise InvalidFile(_FILE, "model.type", f"is {model.get('type')!r:.40}", allowed="BPE")
    tokens, types = _tokens(document, size)
    by_bytes = not model.get("byte_fallback")
    if by_bytes:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre_tokenizer_name(document))
    else:
        _require_sentencepiece(document)
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        # Merges in a vocabulary of this kind are in the order of their tokens; the lower id is merged first.
        writer.add_token_scores([-float(number) for number in range(size)])
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    # It warns of templates for pairs of texts, which a language model is never given.
    logging.getLogger("gguf.vocab").setLevel(logging.ERROR)
    gguf.SpecialVocab(base, load_merges=by_bytes, n_vocab=size).add_to_gguf(writer, quiet=True)


def pre_tokenizer_name(document: Mapping[str, Any]) -> str:
    """Return llama.cpp's name of the byte-level pre-tokenizer in a `tokenizer.json`. Raises InvalidFile."""
    steps = _steps(document.get("pre_tokenizer"))
    whole_words = bool((document.get("model") or {}).get("ignore_merges"))
    name = _NAMES.get((steps, whole_words)) if steps is not None else None
    if name is None:
        raise InvalidFile(
            _FILE,
            "pre_tokenizer",
            "splits text by rules that llama.cpp has no name for",
            allowed="those of " + ", ".join(_NAMES.values()),
        )
    return name


def _steps(pre: Any) -> tuple[str, ...] | None:
    """Return the expressions that text is split by, ending at the byte-level step; None for any other kind of step."""
    steps = pre.get("pretokenizers") if isinstance(pre, dict) and pre.get("type") == "Sequence" else [pre]
    found: list[str] = []
    for step in steps or ():
        match step:
            case {"type": "Digits", "individual_digits": True}:
                found.append("digits")
            case {"type": "Split", "pattern": {"Regex": str(rule)}, "behavior": "Isolated", "invert": False}:
                found.append(rule)
            case {"type": "ByteLevel", "add_prefix_space": False}:
                if step.get("use_regex", True):
                    found.append(_GPT2)
                return tuple(found)
            case _:
                return None
    return None


def _require_sentencepiece(document: Mapping[str, Any]) -> None:
    """Raise InvalidFile unless spaces become U+2581 with one put in front, as SentencePiece and llama.cpp do."""
    normalizer = document.get("normalizer") or {}
    steps = normalizer.get("normalizers") if normalizer.get("type") == "Sequence" else None
    match steps:
        case [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        ] if document.get("pre_tokenizer") is None:
            return
        case _:
            raise InvalidFile(
                _FILE,
                "normalizer",
                "of a vocabulary with byte tokens is not SentencePiece's",
                allowed=f"a {_METASPACE!r} in front and for every space, and no pre-tokenizer",
            )


def _tokens(document: Mapping[str, Any], size: int) -> tuple[list[str], list[gguf.TokenType]]:
    """Return text and type of every id below `size`; an id without a token is unused."""
    vocabulary: Mapping[str, int] = (document.get("model") or {}).get("vocab") or {}
    added = {entry["id"]: entry for entry in document.get("added_tokens") or ()}
    by_id = {number: text for text, number in vocabulary.items()}
    by_id.update({number: entry["content"] for number, entry in added.items()})
    if not by_id or max(by_id) >= size:
        raise InvalidFile(
            _FILE,
            "model.vocab",
            f"has {max(by_id, default=-1) + 1} tokens",
            allowed=f"1 to {size}, as the model has",
        )
    fallback = bool((document.get("model") or {}).get("byte_fallback"))
    unknown = (document.get("model") or {}).get("unk_token")
    tokens: list[str] = []
    types: list[gguf.TokenType] = []
    for number in range(size):
        text = by_id.get(number)
        tokens.append(f"[PAD{number}]" if text is None else text)
        if text is None:
            types.append(gguf.TokenType.UNUSED)
        elif fallback and text == unknown:
            types.append(gguf.TokenType.UNKNOWN)
        elif number in added:
            special = bool(added[number].get("special"))
            types.append(gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED)
        elif fallback and _BYTE.fullmatch(text):
            types.append(gguf.TokenType.BYTE)
        else:
            types.append(gguf.TokenType.NORMAL)
    return tokens, types
