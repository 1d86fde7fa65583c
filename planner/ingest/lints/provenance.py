"""Lints on what the run was: L3b, L17, L18 and L19."""

from __future__ import annotations

from collections.abc import Mapping

from planner.domain.runtime import Runtime
from planner.errors import InvalidInput
from planner.ingest.imported import Finding
from planner.ingest.lints.finding import warn


def ask_for_variant(variant: str | None) -> str:
    """L3b: return the variant the submitter names. Raises InvalidInput: a label in a file's name is never parsed."""
    if variant is None or not variant.strip():
        raise InvalidInput(
            "variant",
            "the file does not say which variant it is about, and its name is not read",
            allowed="the id or name of a registered variant",
        )
    return variant


def own_commits(findings: list[Finding], commits: Mapping[str, str], own: str | None) -> tuple[str, ...]:
    """L17: return the libraries whose commit field holds the tool's own commit; nothing can be learnt from those."""
    wrong = tuple(name for name, commit in commits.items() if own and commit == own)
    if wrong:
        warn(findings, "L17", f"commit of {', '.join(wrong)} equals the tool's own commit: left out")
    return wrong


def random_weights(findings: list[Finding], *, is_random: bool) -> bool:
    """L18: say that speed and memory of random weights are usable and accuracy never is."""
    if is_random:
        warn(findings, "L18", "random weights: latency and memory are usable, accuracy would never be")
    return is_random


def ask_for_engine(found: Runtime | None, asked: Runtime | None) -> Runtime:
    """L19: return the engine from the file or the submitter. Raises InvalidInput: speed of one engine is not another's."""
    if asked is not None and found is not None and found.name != asked.name:
        raise InvalidInput(
            "runtime", f"`{asked}` contradicts the file, which says `{found}`", allowed=str(found)
        )
    if asked is not None and found is not None:
        return Runtime(name=found.name, version=asked.version or found.version, mode=asked.mode or found.mode)
    runtime = asked or found
    if runtime is None:
        raise InvalidInput(
            "runtime",
            "the file does not say which engine ran, and a profile of one engine says nothing about another",
            allowed="an engine with its version, such as `vllm 0.33.0`",
        )
    return runtime
