"""The JSON schema of a policy file, made from its structs and shipped beside them for editors and CI.

`python -m planner.gate.policy_schema > planner/gate/policy.schema.json` writes it again; a test holds the two together.
"""

from __future__ import annotations

import sys
from importlib import resources
from typing import Any, Final

import msgspec

from planner.gate.policy import Policy

FILE: Final = "policy.schema.json"


def schema() -> dict[str, Any]:
    """Return the schema, as JSON Schema 2020-12."""
    made = msgspec.json.schema(Policy)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Policy of planner gate",
        **made,
    }


def shipped() -> bytes:
    """Return the file that ships with the package."""
    return (resources.files("planner.gate") / FILE).read_bytes()


def main() -> None:
    """Print the schema."""
    text = msgspec.json.format(msgspec.json.encode(schema(), order="sorted"), indent=2)
    sys.stdout.write(text.decode() + "\n")


if __name__ == "__main__":
    main()
