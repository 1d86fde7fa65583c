"""What crosses HTTP about gates, and their use cases."""

from __future__ import annotations

from typing import Protocol

import msgspec

from planner.domain.listing import Page
from planner.gate.floor import Raised
from planner.gate.policy import Policy
from planner.gate.report import CheckState, GateReport, GateVerdict
from planner.wire.page import DEFAULT_LIMIT

MAX_GATED = 50
"""Most variants judged for one page of `gate_all`: each is judged by its records."""


class GateRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Judge a variant by a policy. A dry run changes nothing: no alias, no state, no job, no history."""

    variant: str
    policy: Policy
    against: str | None = None
    """Instead of the policy's: base, alias:NAME or variant:ID; a floor's wins over it."""
    dry_run: bool = False
    sequential: bool = False
    """Judge only by tests that may be looked at again and again while evidence grows."""
    queue: bool = False
    """Queue the jobs that would decide what is open."""
    explain: bool = False
    """Name the items that changed."""
    actor: str | None = None


class GateAllRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Say what a policy would decide of many variants, changing nothing."""

    policy: Policy
    against: str | None = None
    model: str | None = None
    search: str | None = None
    published: bool = False
    """Also variants that are only known from a publication."""


class GateRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a policy would decide of one variant."""

    variant_id: str
    name: str
    model_id: str
    verdict: GateVerdict
    sentence: str
    states: dict[str, CheckState]
    """By check."""


class PolicyCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A policy as it holds on this server, and what its floor raised."""

    policy: Policy
    raised: tuple[Raised, ...] = ()
    has_floor: bool = False


class Gating(Protocol):
    """Gates: whether a build may take the place of another."""

    def gate(self, request: GateRequest) -> GateReport:
        """Judge a variant, and, unless it is a dry run, do what the verdict asks for and keep the report.

        Raises NotFound for the variant or what it is held against, InvalidInput naming the field of the policy.
        """
        ...

    def gate_all(
        self, request: GateAllRequest, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[GateRow]:
        """Return what the policy would decide, by variant; changes nothing. Raises NotFound, InvalidInput."""
        ...

    def gates(
        self,
        *,
        variant: str | None = None,
        verdict: GateVerdict | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[GateReport]:
        """Return the reports of gates, newest first. Raises NotFound."""
        ...

    def gate_report(self, gate_id: str) -> GateReport:
        """Return one report. Raises NotFound."""
        ...

    def check_policy(self, policy: Policy) -> PolicyCheck:
        """Return the policy as it would hold here. Raises InvalidInput."""
        ...
