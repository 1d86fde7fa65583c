"""Which stored files are withheld: those that every registered variant they are of is quarantined with, or deleted.

Files are also asked for by their digest, past the names that a quarantine closes, so the question is asked of digests too.
A file that another variant shares, such as a tokenizer, stays open.
"""

from __future__ import annotations

import threading

from planner.domain.identity import TokenScope
from planner.domain.lifecycle import VariantState
from planner.domain.variant import Variant
from planner.errors import Withheld
from planner.settings import AuthMode
from planner.wire import acting
from planner.wire.serving import Holdings


class Withholding:
    """The withheld files of the registry's present revision, by sha256. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._revision = -1
        self._files: dict[str, tuple[Variant, VariantState]] = {}

    def check(self, held: Holdings, sha256: str, *, auth: AuthMode) -> None:
        """Raise Withheld for a file that whoever asks is not to have.

        Those who measure may have it, since a new measurement is what ends a quarantine, and so may administrators; on a server that
        asks for no tokens that is everyone.
        """
        principal = acting.current()
        if auth is AuthMode.OFF or (principal is not None and principal.may(TokenScope.MEASURE)):
            return
        with self._lock:
            if self._revision != held.revision:
                self._files = withheld_files(held)
                self._revision = held.revision
            found = self._files.get(sha256)
        if found is not None:
            variant, state = found
            raise Withheld(
                f"this file is of {variant.model_id}/{variant.name}, which is {state.describe()}",
                replacement=state.replacement_id,
            )


def withheld_files(held: Holdings) -> dict[str, tuple[Variant, VariantState]]:
    """Return the files that only withheld variants have, each with one of them and its state."""
    found: dict[str, tuple[Variant, VariantState]] = {}
    closed = {id_: state for id_, state in held.states.items() if not state.state.is_handed_out}
    if not closed:
        return found
    for variant in held.variants:
        if variant.id in closed:
            found |= {artifact.sha256: (variant, closed[variant.id]) for artifact in variant.artifacts}
    for variant in held.variants:
        if variant.id not in closed:
            for artifact in variant.artifacts:
                found.pop(artifact.sha256, None)
    return found
