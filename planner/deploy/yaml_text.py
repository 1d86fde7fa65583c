"""YAML that every reader takes the same way.

YAML 1.1 and 1.2 readers disagree about plain text: `1e3`, `0o7`, `on` and `y` are strings to some and numbers or booleans to
others. So a text is left plain only when it is a word with a letter first that no reader takes for anything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./-]+")


class _Dumper(yaml.SafeDumper):
    """Quotes strings by the rule above, keeps the order of maps, and never writes anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal parts out each time: manifests are edited by hand."""
        del data
        return True


def _string(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = None if _PLAIN.fullmatch(value) else "|" if "\n" in value else '"'
    # PyYAML's stubs leave the value untyped
    return dumper.represent_scalar(  # pyright: ignore[reportUnknownMemberType]
        "tag:yaml.org,2002:str", value, style=style
    )


_Dumper.add_representer(str, _string)


def write_yaml(*documents: Mapping[str, Any], comment: Sequence[str] = ()) -> str:
    """Return the documents as one YAML stream, after `comment`, one line each."""
    head = "".join(f"# {' '.join(line.split())}\n" for line in comment)
    body: str = yaml.dump_all(
        list(documents),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=10_000,
        explicit_start=len(documents) > 1,
    )
    return head + body
