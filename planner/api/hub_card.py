"""Judgement of a model card before it is pushed: errors keep a client from pushing, warnings are printed. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from planner.artifacts.json_document import is_list, is_object
from planner.artifacts.model_card import hub_id

MAX_CARD: Final = 2_000_000
_MAX_FRONT_MATTER: Final = 65_536
_BLOCK: Final = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


class _PlainLoader(yaml.SafeLoader):
    """Reads YAML without anchors, which a small text can make endless."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (`*name`) are not read in a model card")
        return super().compose_node(parent, index)


def judge(content: str) -> tuple[list[str], list[str]]:
    """Return what is wrong with a model card, and what is missing from it."""
    found = _BLOCK.match(content)
    if found is None:
        return [], [
            "the card has no metadata; between two lines `---` at its top state `base_model` and `license`"
        ]
    text = found[1]
    if len(text) > _MAX_FRONT_MATTER:
        return [f"the metadata has {len(text)} characters; at most {_MAX_FRONT_MATTER} are read"], []
    try:
        metadata: Any = yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - it is a SafeLoader
    except yaml.YAMLError as error:
        return [f"the metadata is not YAML: {' '.join(str(error).split())[:300]}"], []
    except (RecursionError, ValueError) as error:
        return [f"the metadata cannot be read: {error}"[:300]], []
    if not is_object(metadata):
        return ["the metadata is not a mapping of keys to values"], []
    return _base_errors(metadata.get("base_model")), _missing(metadata)


def _base_errors(base: object) -> list[str]:
    names: list[Any] = base if is_list(base) else [] if base is None else [base]
    return [
        f"base_model: `{str(name)[:100]}` is no OWNER/NAME and no digest"
        for name in names
        if not (isinstance(name, str) and (hub_id(name.partition("@")[0]) or _DIGEST.fullmatch(name)))
    ]


def _missing(metadata: dict[str, Any]) -> list[str]:
    warnings: list[str] = []
    if not metadata.get("base_model"):
        warnings.append(
            "base_model is not stated: without it the model is taken for a build of the one with its shape, or for a new one"
        )
    if not metadata.get("license"):
        warnings.append("license is not stated")
    return warnings
