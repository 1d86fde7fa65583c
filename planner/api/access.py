"""What each request needs of a token: one table over method and path. Pure.

The first rule that matches decides. `*` stands for one segment of a path, `**` for any rest. What no rule names is
closed: reads under /api need `read`, everything else `admin`. A test holds every route of the server to a rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from litestar.utils.path import normalize_path

from planner.api.hub_address import Address, Operation, parse
from planner.domain.identity import TokenScope, matches

_READS: Final = frozenset({"GET", "HEAD"})


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """Which scopes suffice, any one of them; none at all for what is open to everyone."""

    scopes: tuple[TokenScope, ...] = ()
    under_lease: tuple[TokenScope, ...] = ()
    """Scopes that suffice as well where the request is made for a leased job, which is checked later."""
    address: Address | None = None
    """What the request asks for in the Hugging Face protocol; None for other parts of the server."""
    named: bool = True
    """False where no rule names the request."""

    @property
    def is_open(self) -> bool:
        """Whether no token is needed, whatever the settings say."""
        return not self.scopes

    @property
    def is_read(self) -> bool:
        """Whether `read` suffices."""
        return TokenScope.READ in self.scopes

    @property
    def repository(self) -> str | None:
        """The repository that is written to, where the address says so."""
        return self.address.repository or None if self.address is not None and not self.is_read else None


class Rule(msgspec.Struct, frozen=True):
    """Requests of some methods to some paths, and what they need."""

    methods: frozenset[str]
    pattern: str
    need: Need


def _rules(methods: str, need: Need, *patterns: str) -> list[Rule]:
    return [Rule(frozenset(methods.split()), pattern, need) for pattern in patterns]


OPEN: Final = Need()
READ: Final = Need(scopes=(TokenScope.READ,))
REGISTER: Final = Need(scopes=(TokenScope.REGISTER,))
MEASURE: Final = Need(scopes=(TokenScope.MEASURE,))
PROMOTE: Final = Need(scopes=(TokenScope.PROMOTE,))
ADMIN: Final = Need(scopes=(TokenScope.ADMIN,))
EVIDENCE: Final = Need(scopes=(TokenScope.REGISTER, TokenScope.MEASURE))
BUILD: Final = Need(scopes=(TokenScope.REGISTER,), under_lease=(TokenScope.MEASURE,))

RULES: Final[tuple[Rule, ...]] = (
    # Asked by probes before there is a token, or by those who want one.
    *_rules("GET HEAD", OPEN, "/api/v1/health", "/schema", "/schema/**"),
    *_rules("POST", OPEN, "/oauth/token"),
    # Addresses of uploads are signed for one file and a short time: clients send no token there.
    *_rules("GET HEAD PUT POST", OPEN, "/lfs/**", "/cas/**", "/api/uploads/**"),
    *_rules("GET HEAD POST PUT DELETE PATCH", ADMIN, "/api/v1/tokens", "/api/v1/tokens/**"),
    *_rules("GET HEAD POST PUT DELETE PATCH", ADMIN, "/api/v1/webhooks", "/api/v1/webhooks/**"),
    *_rules(
        "GET HEAD",
        ADMIN,
        "/api/v1/deliveries",
        "/api/v1/deliveries/**",
        "/api/v1/events",
        "/api/v1/events/**",
    ),
    *_rules("GET HEAD", READ, "/api/v1/**", "/metrics", "/badge/**"),
    # Questions: what is stored of them are answers.
    *_rules(
        "POST",
        READ,
        "/api/v1/recommend",
        "/api/v1/recommend/batch",
        "/api/v1/fleet",
        "/api/v1/training",
        "/api/v1/plans/*/replay",
        "/api/v1/compare",
        "/api/v1/compare/plans",
        "/api/v1/lock",
        "/api/v1/check",
        "/api/v1/deploy",
        "/api/v1/artifacts/missing",
        "/api/v1/gates/preview",
        "/api/v1/gates/all",
        "/api/v1/gates/policy",
    ),
    *_rules("PUT PATCH", EVIDENCE, "/api/v1/artifacts/*"),
    *_rules("POST", BUILD, "/api/v1/variants"),
    *_rules("POST", REGISTER, "/api/v1/variants/by-reference"),
    *_rules("POST", EVIDENCE, "/api/v1/profiles", "/api/v1/evaluations", "/api/v1/imports"),
    *_rules("PUT", MEASURE, "/api/v1/devices/*"),
    *_rules("POST", REGISTER, "/api/v1/signatures"),
    *_rules("POST", MEASURE, "/api/v1/jobs", "/api/v1/jobs/**", "/api/v1/workers/**"),
    *_rules("POST", MEASURE, "/api/v1/plans/*/measurements", "/api/v1/plans/*/builds"),
    *_rules("PUT", ADMIN, "/api/v1/aliases/*/protection"),
    *_rules("POST", ADMIN, "/api/v1/admin/**"),
    *_rules("POST DELETE", PROMOTE, "/api/v1/pins", "/api/v1/pins/*"),
    *_rules(
        "POST PUT DELETE PATCH", PROMOTE, "/api/v1/aliases/**", "/api/v1/variants/**", "/api/v1/states/**"
    ),
    *_rules("POST", PROMOTE, "/api/v1/gates"),
    # The handlers behind the Hugging Face protocol, which clients reach by its addresses only.
    *_rules("GET HEAD", READ, "/api/hub/*"),
    *_rules("POST PUT DELETE", ADMIN, "/api/hub/*"),
)

_WRITES: Final = (
    "create",
    "preupload",
    "commit",
    "tag",
    "branch",
    "lfs-batch",
    "lfs-verify",
    "xet-write-token",
)
HUB: Final[Mapping[str, Need]] = {
    **dict.fromkeys(
        ("list", "info", "tree", "paths-info", "refs", "commits", "auth-check", "whoami", "file", "unknown"),
        READ,
    ),
    "validate-yaml": READ,
    "xet-read-token": READ,
    **dict.fromkeys(_WRITES, REGISTER),
    "delete": ADMIN,
    "upload": OPEN,
}
"""By operation of the protocol. Aliases show as branches, and are not made or moved as such: only branches of what was pushed are."""


def need_of(method: str, path: str, raw_path: str) -> Need:
    """Return what a request needs. `path` is decoded, as routing sees it; `raw_path` is as it was sent."""
    if method == "OPTIONS":
        return OPEN
    address = parse(raw_path)
    if address is not None:
        return _need_in_hub(address)
    path = normalize_path(path)
    for rule in RULES:
        if method in rule.methods and matches(rule.pattern, path):
            return rule.need
    top = path.split("/", 2)[1]
    if method in _READS and top not in {"api", "metrics", "oauth"}:
        return OPEN  # the dashboard's files
    return Need(scopes=(TokenScope.READ,) if method in _READS else (TokenScope.ADMIN,), named=False)


def _need_in_hub(address: Address) -> Need:
    need = HUB.get(address.operation.value)
    if need is None:
        return Need(scopes=(TokenScope.ADMIN,), address=address, named=False)
    if address.operation is Operation.AUTH_CHECK and address.path:
        need = REGISTER
    return msgspec.structs.replace(need, address=address)
