"""Query and path parameters that several handlers share, with their bounds and their documentation."""

from __future__ import annotations

from typing import Annotated

from litestar.di import NamedDependency
from litestar.params import BodyKwarg, PathParameter, QueryParameter, SkipValidation

from planner.domain.alias import Alias, AliasMove
from planner.domain.device import Device
from planner.domain.evaluation import Evaluation
from planner.domain.job import Job
from planner.domain.job_worker import WorkerRow
from planner.domain.lifecycle import VariantState
from planner.domain.listing import Page, VariantRow
from planner.domain.model import Model
from planner.domain.pin import Pin
from planner.domain.profile import Profile
from planner.wire.page import MAX_LIMIT
from planner.wire.rows import DownloadRow, PlanRow
from planner.wire.service import Service

MAX_TEXT = 2000
"""Longest text accepted in a query parameter, in characters."""

ServiceParameter = NamedDependency[SkipValidation[Service]]
"""The use cases. Litestar would otherwise check the protocol's every method for every request."""

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Most items in the page.")]
Cursor = Annotated[
    str | None,
    QueryParameter(
        max_length=MAX_TEXT, description="`next_cursor` of the previous page, with the same filters."
    ),
]
Search = Annotated[
    str | None, QueryParameter(max_length=MAX_TEXT, description="Part of a name, letter case ignored.")
]
Text = Annotated[str | None, QueryParameter(max_length=MAX_TEXT)]
Query = Annotated[
    str,
    QueryParameter(
        name="q",
        min_length=1,
        max_length=MAX_TEXT,
        description="A question in words, English or Chinese, such as `13B on 24GB, ≤1% loss`.",
    ),
]
OptionalQuery = Annotated[
    str | None, QueryParameter(name="q", max_length=MAX_TEXT, description="A question in words.")
]
Name = Annotated[str, PathParameter(max_length=MAX_TEXT)]
VariantName = Annotated[
    str,
    QueryParameter(
        name="variant",
        min_length=1,
        max_length=MAX_TEXT,
        description="Variant id, unique prefix of one, name, `model/name` or alias.",
    ),
]

ModelPage = Annotated[Page[Model], BodyKwarg(schema_component_key="ModelPage")]
VariantPage = Annotated[Page[VariantRow], BodyKwarg(schema_component_key="VariantPage")]
DevicePage = Annotated[Page[Device], BodyKwarg(schema_component_key="DevicePage")]
ProfilePage = Annotated[Page[Profile], BodyKwarg(schema_component_key="ProfilePage")]
EvaluationPage = Annotated[Page[Evaluation], BodyKwarg(schema_component_key="EvaluationPage")]
JobPage = Annotated[Page[Job], BodyKwarg(schema_component_key="JobPage")]
WorkerPage = Annotated[Page[WorkerRow], BodyKwarg(schema_component_key="WorkerPage")]
PlanPage = Annotated[Page[PlanRow], BodyKwarg(schema_component_key="PlanPage")]
AliasMovePage = Annotated[Page[AliasMove], BodyKwarg(schema_component_key="AliasMovePage")]
AliasPage = Annotated[Page[Alias], BodyKwarg(schema_component_key="AliasPage")]
PinPage = Annotated[Page[Pin], BodyKwarg(schema_component_key="PinPage")]
StatePage = Annotated[Page[VariantState], BodyKwarg(schema_component_key="StatePage")]
DownloadPage = Annotated[Page[DownloadRow], BodyKwarg(schema_component_key="DownloadPage")]

__all__ = [
    "AliasMovePage",
    "AliasPage",
    "Cursor",
    "DevicePage",
    "DownloadPage",
    "EvaluationPage",
    "JobPage",
    "Limit",
    "ModelPage",
    "Name",
    "OptionalQuery",
    "PinPage",
    "PlanPage",
    "ProfilePage",
    "Query",
    "Search",
    "ServiceParameter",
    "StatePage",
    "Text",
    "VariantName",
    "VariantPage",
    "WorkerPage",
]
