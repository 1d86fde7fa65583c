"""Results of other tools: one file as the body, or several as a form, with what they do not say as parameters."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from litestar import Request, Response, Router, post
from litestar.datastructures import UploadFile
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter

from planner.api.errors import BadRequest
from planner.api.parameters import MAX_TEXT, ServiceParameter, Text
from planner.api.safety import RAW_BODY
from planner.errors import InvalidInput
from planner.ingest.source import MAX_FILE_BYTES
from planner.wire.imports import ImportOptions, ImportReport, ResultFile

MAX_IMPORT_BYTES: Final = 2 * MAX_FILE_BYTES
"""Largest body: the samples of a variant's run and of its baseline's."""
_FORM: Final = "multipart/form-data"

Tokens = Annotated[
    int | None, QueryParameter(ge=1, le=100_000_000, description="Where the file does not say it.")
]


@post(
    "/imports",
    operation_id="importResults",
    summary="Register results of another tool",
    description=(
        "The body is one result file, or a form (multipart/form-data) whose `file` parts are the files of the variant's run "
        "and whose `baseline_file` parts are those of its baseline's. The format is recognised by content."
    ),
    responses={
        200: ResponseSpec(
            ImportReport, description="Everything was known, or a dry run", generate_examples=False
        )
    },
    opt={RAW_BODY: True},
    request_max_body_size=MAX_IMPORT_BYTES,
)
async def import_results(
    *,
    service: ServiceParameter,
    request: Request[Any, Any, Any],
    variant: Text = None,
    baseline: Text = None,
    device: Text = None,
    runtime: Text = None,
    input_tokens: Tokens = None,
    output_tokens: Tokens = None,
    concurrency: Tokens = None,
    devices: Tokens = None,
    dry_run: Annotated[
        bool, QueryParameter(description="Say what would be stored and change nothing.")
    ] = False,
    name: Annotated[
        str,
        QueryParameter(max_length=MAX_TEXT, description="Name of the file that is the body, for messages."),
    ] = "body",
) -> Response[ImportReport]:
    """Read, judge and store result files; 200 when nothing new came of it."""
    options = ImportOptions(
        variant=variant,
        baseline=baseline,
        device=device,
        runtime=runtime,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        concurrency=concurrency,
        devices=devices,
        dry_run=dry_run,
    )
    files = await _files(request, name)
    report = await asyncio.to_thread(service.import_results, files, options)
    created = any(item.created for item in report.stored)
    return Response(report, status_code=201 if created else 200)


async def _files(request: Request[Any, Any, Any], name: str) -> list[ResultFile]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _FORM:
        return [ResultFile(name=name, content=await request.body())]
    try:
        form = await request.form()
    except (ValueError, KeyError) as error:
        raise BadRequest(f"the form is not understood: {error}") from None
    files: list[ResultFile] = []
    for field, value in form.multi_items():
        if field not in {"file", "baseline_file"} or not isinstance(value, UploadFile):
            raise InvalidInput(
                str(field)[:100], "is no part of this form", allowed="files as `file` and `baseline_file`"
            )
        content = await value.read()
        files.append(
            ResultFile(name=value.filename or field, content=content, of_baseline=field == "baseline_file")
        )
    return files


router = Router("/", route_handlers=[import_results], tags=["Evidence"])
