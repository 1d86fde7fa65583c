"""`worker measure`: latency, throughput and memory by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import rich_click as click
from click.core import ParameterSource
from click.globals import get_current_context

from planner.domain.profile import Profile
from planner.domain.workload import Workload
from planner.errors import InvalidFile, InvalidInput
from worker.commands.execute import execute
from worker.commands.options import (
    device_option,
    json_option,
    model_source,
    server_options,
    threads_option,
    workload,
)
from worker.commands.show_speed import show_comparison
from worker.engines.endpoint import Endpoint
from worker.engines.kernels import Kernels
from worker.engines.transformers import Mode
from worker.jobs import MeasureResult, MeasureSpec
from worker.measure.latency import Repetition
from worker.measure.profile import DEFAULT_WORKLOADS, Conditions

CONTINUOUS = "continuous"
_HALF_WIDTH = 0.02
_LOAD_HALF_WIDTH = 0.05
_MAX_FILE_BYTES = 2**26
_OF_SERVER = ("model", "api", "runtime", "runtime_version", "device_id", "devices", "token_variable")
_OF_LOADING = ("mode", "tensor_parallel")
_OF_COMPILING = ("kernels", "thorough")


@click.command("measure")
@click.argument("variant")
@click.option(
    "--point",
    "points",
    multiple=True,
    metavar="IN:OUT[:REQUESTS]",
    help="A workload point; repeatable. Default: 128:64, 512:64 and 128:64:4.",
)
@click.option(
    "--sweep",
    metavar="N,N,…",
    help="Take every point with so many requests at once instead: the latency-throughput curve.",
)
@click.option(
    "--mode",
    type=click.Choice([*(mode.value for mode in Mode), CONTINUOUS]),
    default=Mode.EAGER.value,
    show_default=True,
    help="Operator by operator, compiled, or requests that join and leave a running batch.",
)
@click.option(
    "--kernels",
    type=click.Choice([kernels.value for kernels in Kernels]),
    default=Kernels.AUTO.value,
    show_default=True,
    help="With --mode compiled: library of the quantized products.",
)
@click.option(
    "--thorough",
    is_flag=True,
    help="With --mode compiled: compile longer, for a few percent more speed.",
)
@click.option(
    "--tensor-parallel",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Cut every layer over N devices of this machine; on a CPU, over N processes.",
)
@click.option(
    "--endpoint",
    metavar="URL",
    help="Measure this OpenAI-compatible server, which serves VARIANT, instead of loading it.",
)
@click.option("--model", help="With --endpoint: the name the server knows the model by.")
@click.option(
    "--api",
    type=click.Choice(["completions", "chat"]),
    default="completions",
    show_default=True,
    help="With --endpoint: which of its interfaces.",
)
@click.option("--runtime", help="With --endpoint: what serves, such as vllm. Default: what the server says.")
@click.option("--runtime-version", help="With --endpoint: its version. Default: what the server says.")
@click.option(
    "--device-id",
    help="With --endpoint: the device type it runs on; needed for a server on another machine.",
)
@click.option(
    "--devices", type=int, default=1, show_default=True, help="With --endpoint: devices that run it together."
)
@click.option(
    "--token-variable",
    default="OPENAI_API_KEY",
    show_default=True,
    help="With --endpoint: environment variable with the bearer token.",
)
@click.option(
    "--spread",
    type=float,
    help="With --mode continuous or --endpoint: how far lengths of requests lie from the point's, as a share. Default: 0.5 "
    "for continuous, 0 for a server.",
)
@click.option(
    "--budget", type=float, default=10.0, show_default=True, help="Seconds of repeats per point at most."
)
@click.option(
    "--repeats", type=int, default=5, show_default=True, help="Repeats, or requests, per point at least."
)
@click.option(
    "--half-width",
    type=float,
    help="Stop when medians are known to this share. Default: 0.02, for requests one by one 0.05.",
)
@click.option(
    "--limit",
    type=float,
    default=60.0,
    show_default=True,
    help="Seconds after which a point is not repeated further, whatever --repeats says.",
)
@click.option(
    "--warmup", type=int, default=2, show_default=True, help="Runs of a point before its first repeat."
)
@click.option("--point-limit", type=float, help="Seconds for a point, warm-up included.")
@click.option("--total-limit", type=float, help="Seconds for all points; those left over are named.")
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A profile, or a result that holds one, to compare with: same, fast, slow or ambiguous.",
)
@click.option("--refuse-tainted", is_flag=True, help="Fail when other work disturbed the measurement.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to keep the result in.")
@device_option
@threads_option
@server_options
@json_option
def command(
    *,
    variant: str,
    points: tuple[str, ...],
    sweep: str | None,
    mode: str,
    against: Path | None,
    out: Path | None,
    device: str,
    server: str | None,
    hand_in: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Measure VARIANT: a folder of safetensors, `reference`, or with --server a variant it holds.

    At every workload point: time to first token, time per output token, throughput and peak memory, repeated until the
    medians are narrow or the budget is spent. With --mode continuous or --endpoint, requests come one by one in a closed
    loop.
    """
    check_options(mode, has_server=settings["endpoint"] is not None)
    reference = read_profile(against) if against is not None else None
    endpoint = _endpoint(settings)
    one_by_one = endpoint is not None or mode == CONTINUOUS
    half_width = settings["half_width"]
    if half_width is None:
        half_width = _LOAD_HALF_WIDTH if one_by_one else _HALF_WIDTH
    conditions = Conditions(
        workloads=sweep_points(tuple(workload(point) for point in points) or DEFAULT_WORKLOADS, sweep),
        device=device,
        mode=Mode.EAGER if mode == CONTINUOUS else Mode(mode),
        batching="continuous" if mode == CONTINUOUS else "static",
        kernels=Kernels(settings["kernels"]),
        thorough=settings["thorough"],
        length_spread=settings["spread"],
        tensor_parallel=settings["tensor_parallel"],
        threads=settings["threads"],
        repetition=Repetition(
            budget_seconds=settings["budget"],
            limit_seconds=settings["limit"],
            least=settings["repeats"],
            most=max(10_000 if one_by_one else 200, settings["repeats"]),
            warmup=settings["warmup"],
            half_width=half_width,
        ),
        tainted="refuse" if settings["refuse_tainted"] else "keep",
        point_limit_seconds=settings["point_limit"],
        total_limit_seconds=settings["total_limit"],
    )
    spec = MeasureSpec(
        variant=model_source(variant, server=server, field="variant"),
        conditions=conditions,
        endpoint=endpoint,
    )
    result = execute(spec, title="measure", out=out, server=server, hand_in=hand_in, as_json=as_json)
    if reference is not None and isinstance(result, MeasureResult):
        show_comparison(result.profile, reference)


def check_options(mode: str, *, has_server: bool) -> None:
    """Raise InvalidInput for an option on the command line that would do nothing in this mode."""
    one_by_one = has_server or mode == CONTINUOUS
    idle: dict[str, tuple[str, str]] = {}
    if not has_server:
        idle |= dict.fromkeys(_OF_SERVER, ("is of a server, and none is named", "--endpoint URL"))
    else:
        idle |= dict.fromkeys(_OF_LOADING, ("is not ours to choose for a server", "without --endpoint"))
    if mode != Mode.COMPILED.value:
        idle |= dict.fromkeys(_OF_COMPILING, ("is of another mode", "--mode compiled"))
    if not one_by_one:
        idle["spread"] = ("is of requests one by one", "--mode continuous or --endpoint URL")
    context = get_current_context()
    for name, (problem, allowed) in idle.items():
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise InvalidInput(name.replace("_", "-"), problem, allowed=allowed)


def _endpoint(settings: dict[str, Any]) -> Endpoint | None:
    url, model = settings["endpoint"], settings["model"]
    if url is None:
        return None
    if model is None:
        raise InvalidInput(
            "model", "is needed with --endpoint", allowed="the name the server knows the model by"
        )
    return Endpoint(
        url=url,
        model=model,
        api=settings["api"],
        token_variable=settings["token_variable"],
        runtime=settings["runtime"],
        runtime_version=settings["runtime_version"],
        device_id=settings["device_id"],
        devices=settings["devices"],
    )


def sweep_points(points: tuple[Workload, ...], sweep: str | None) -> tuple[Workload, ...]:
    """Return the points, or with a sweep such as "1,2,4" each of their lengths with each concurrency.

    Raises InvalidInput.
    """
    if sweep is None:
        return points
    numbers = [number.strip() for number in sweep.split(",")]
    if not all(number.isdecimal() and int(number) for number in numbers):
        raise InvalidInput("sweep", f"`{sweep}` is not a list of counts", allowed="1,2,4,8")
    lengths = dict.fromkeys((point.input_tokens, point.output_tokens) for point in points)
    return tuple(
        Workload(input_tokens=tokens, output_tokens=output, concurrency=int(number))
        for tokens, output in lengths
        for number in dict.fromkeys(numbers)
    )


def read_profile(path: Path) -> Profile:
    """Return the profile in a file: by itself, or within the result of a measurement. Raises InvalidFile."""
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise InvalidFile(
            path.name, "", "is too large to be a profile", allowed=f"at most {_MAX_FILE_BYTES} bytes"
        )
    content = path.read_bytes()
    try:
        document = msgspec.json.decode(content)
        inner = document.get("profile", document) if isinstance(document, dict) else document
        return msgspec.convert(inner, Profile)
    except (msgspec.DecodeError, msgspec.ValidationError, InvalidInput) as error:
        raise InvalidFile(
            path.name, "", f"is no profile: {error}", allowed="a profile, or a result.json"
        ) from error
