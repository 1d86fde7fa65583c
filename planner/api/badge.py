"""A picture of what is measured of the variant that an alias points at, to be shown elsewhere.

Only measured evidence without doubt is shown: what was imported, published or estimated is not, and a missing interval is
`±?`, never nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

from litestar import Request, Response, get
from litestar.params import QueryParameter

from planner.api.badge_drawing import draw
from planner.api.parameters import Name, ServiceParameter
from planner.api.ranges import matches
from planner.domain.figure import Basis, Figure
from planner.domain.listing import Page
from planner.domain.loss import LossKind
from planner.domain.loss_basis import assess
from planner.domain.profile import Distribution, Profile
from planner.domain.units import format_seconds
from planner.domain.variant import Variant
from planner.errors import InvalidInput, NotFound
from planner.wire.page import MAX_LIMIT
from planner.wire.service import Service

T = TypeVar("T")

MEASURED: Final = "#2e7d32"
NOTHING: Final = "#757575"
MAX_AGE_SECONDS: Final = 300
_PAGES: Final = 10
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_QUANTILES: Final = ("p95", "p90", "p50", "mean")


@get(
    "/badge/{organization:str}/{model:str}/{alias:str}",
    operation_id="badge",
    summary="Draw what is measured of the variant an alias points at",
    description="`{alias}` ends in `.svg`. `{organization}/{model}` is the model's hub id, or `models/` and its id.",
    sync_to_thread=True,
    include_in_schema=False,
)
def badge(
    *,
    service: ServiceParameter,
    request: Request[Any, Any, Any],
    organization: Name,
    model: Name,
    alias: Name,
    device: Annotated[
        str | None, QueryParameter(max_length=200, description="Only times on this device type.")
    ] = None,
) -> Response[bytes]:
    """Return the badge as an SVG; one that says so where there is no such variant."""
    name = alias.removesuffix(".svg")
    try:
        variant = _variant(service, f"{organization}/{model}", name)
        message, colour = describe(service, variant, device=device)
        status = 200
    except (NotFound, InvalidInput):
        message, colour, status = "not found", NOTHING, 404
    body = draw(name, message, colour=colour).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {
        "etag": etag,
        "cache-control": f"public, max-age={MAX_AGE_SECONDS}",
        "cross-origin-resource-policy": "cross-origin",
    }
    if status == 200 and matches(request.headers.get("if-none-match"), etag):
        return Response(b"", status_code=304, headers=headers)
    return Response(body, status_code=status, headers=headers, media_type="image/svg+xml")


def describe(service: Service, variant: Variant, *, device: str | None = None) -> tuple[str, str]:
    """Return what is measured of `variant` in a few words, and the colour that goes with it. Raises NotFound."""
    wanted = service.device(device).id if device else None
    parts = [part for part in (_loss(service, variant), _time(service, variant, wanted)) if part]
    if not parts:
        return f"{variant.scheme.name} · no evidence", NOTHING
    return " · ".join([variant.scheme.name, *parts]), MEASURED


def _variant(service: Service, repository: str, alias: str) -> Variant:
    model = service.model(repository.removeprefix("models/"))
    variant = service.variant(service.alias(alias).alias.variant_id)
    if variant.model_id != model.id:
        raise NotFound("alias", f"{repository}/{alias}")
    return variant


def _loss(service: Service, variant: Variant) -> str | None:
    found = [
        evaluation
        for evaluation in _all(
            lambda cursor: service.evaluations(variant=variant.id, limit=MAX_LIMIT, cursor=cursor)
        )
        if evaluation.basis is Basis.MEASURED
    ]
    basis = assess(found, kind=LossKind.RELATIVE, task=None)
    return None if basis is None else _change(basis.figure)


def _change(loss: Figure) -> str:
    """Return a loss as a change of the score, in percent: "−0.6 % ±0.4"."""
    shown = f"{abs(100 * loss.value):.1f}"
    sign = "" if shown == "0.0" else "−" if loss.value > 0 else "+"
    half = "?" if loss.interval is None else f"{50 * (loss.interval.hi - loss.interval.lo):.1f}"
    return f"{sign}{shown} % ±{half}"


def _time(service: Service, variant: Variant, device: str | None) -> str | None:
    profiles = [
        profile
        for profile in _all(
            lambda cursor: service.profiles(variant=variant.id, device=device, limit=MAX_LIMIT, cursor=cursor)
        )
        if profile.basis is Basis.MEASURED and profile.doubt is None and not profile.synthetic_weights
    ]
    for profile in sorted(profiles, key=lambda each: each.measured_at or _LONG_AGO, reverse=True):
        if (shown := _first_time(profile)) is not None:
            name = service.device(profile.device_id)
            return f"{name.name.removeprefix(f'{name.vendor} ')} {shown}"
    return None


def _first_time(profile: Profile) -> str | None:
    """Return the time to first token at the profile's first point that has one: its highest percentile there is."""
    for point in profile.points:
        if point.ttft_seconds is not None:
            return f"TTFT {_quantile(point.ttft_seconds)}"
    return None


def _quantile(times: Distribution) -> str:
    for name in _QUANTILES:
        value = times.quantile(name)
        if value is not None:
            return f"{name} {format_seconds(value)}"
    return f"mean {format_seconds(times.mean)}"


def _all(page_of: Callable[[str | None], Page[T]]) -> Iterator[T]:
    cursor: str | None = None
    for _ in range(_PAGES):
        page = page_of(cursor)
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return
