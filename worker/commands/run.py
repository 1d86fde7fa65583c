"""`worker run`: a server's jobs, or one job from a file."""

from __future__ import annotations

import logging
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import rich_click as click

from planner.domain.job import JobKind
from planner.domain.units import parse_seconds
from planner.errors import InvalidInput
from worker.commands.options import cache_folder, json_option, prepare_folder


@click.command("run")
@click.option("--server", envvar="PLANNER_SERVER", help="URL of the planner server to work for.")
@click.option("--once", is_flag=True, help="End after one job, or when there is none.")
@click.option(
    "--name",
    default=platform.node() or "worker",
    show_default="this machine's name",
    help="Name to be known by.",
)
@click.option(
    "--capability",
    "capabilities",
    multiple=True,
    help="State this capability, such as ssd or rack:7, besides those found on the machine; repeatable.",
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in JobKind]),
    help="Take only jobs of this kind; repeatable.",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for fetched variants and running jobs. Default: the user's cache folder.",
)
@click.option(
    "--idle", type=float, default=5.0, show_default=True, help="Seconds to wait when there is no job."
)
@click.option(
    "--drain-after",
    metavar="TIME",
    help="After this time, such as 8h or 30min, finish the job that runs and end.",
)
@click.option(
    "--job",
    "job_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Run this job file.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="With --job: folder for the result."
)
@json_option
def command(
    *,
    server: str | None,
    once: bool,
    name: str,
    capabilities: tuple[str, ...],
    kinds: tuple[str, ...],
    work: Path | None,
    idle: float,
    drain_after: str | None,
    job_file: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Work off the jobs of a server until stopped; or, without any network, run one job from a file.

    On the first SIGTERM or Ctrl-C the worker drains: it finishes its job and takes no more. On the second the job is stopped
    and given back. A result made from a file is handed in later with `worker submit`.
    """
    if job_file is not None:
        _run_file(job_file, out, server=server, as_json=as_json)
        return
    if server is None:
        raise InvalidInput("server", "is not given", allowed="--server URL, or --job FILE with --out DIR")
    if not 0.01 <= idle <= 3600:
        raise InvalidInput("idle", f"{idle} is out of range", allowed="0.01 to 3600 seconds")
    after = None if drain_after is None else parse_seconds(drain_after, field="drain-after", bare="s")
    _work_off(
        server,
        once=once,
        name=name,
        capabilities=frozenset(capabilities),
        kinds=tuple(JobKind(kind) for kind in kinds),
        work=work or cache_folder(),
        idle=idle,
        drain_after=after,
        as_json=as_json,
    )


def _run_file(job_file: Path, out: Path | None, *, server: str | None, as_json: bool) -> None:
    from worker.commands.execute import execute
    from worker.jobs import parse_job_file

    if out is None:
        raise InvalidInput("out", "is not given", allowed="--out DIR with --job")
    spec = parse_job_file(job_file.read_bytes())
    execute(spec, title=job_file.stem, out=out, server=server, hand_in=False, as_json=as_json)


def _work_off(
    server: str,
    *,
    once: bool,
    name: str,
    capabilities: frozenset[str],
    kinds: tuple[JobKind, ...],
    work: Path,
    idle: float,
    drain_after: float | None,
    as_json: bool,
) -> None:
    from planner.client import Client
    from worker.agent import Agent
    from worker.capabilities import detect_capabilities
    from worker.commands.show import print_json
    from worker.isolation import run_isolated
    from worker.runner import start_method

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with Client(server) as client:
        prepare_folder(work, field="work")
        log = work / "capabilities.log"
        found = run_isolated(detect_capabilities, log=log, method=start_method("auto")) | capabilities
        logging.getLogger("worker").info("%s works for %s: %s", name, server, ", ".join(sorted(found)))
        agent = Agent(client, name=name, capabilities=found, work=work, kinds=kinds, idle_seconds=idle)
        on_signals(agent.drain_or_end)
        if drain_after is not None:
            timer = threading.Timer(drain_after, agent.drain)
            timer.daemon = True
            timer.start()
        completed = agent.run(once=once)
    if as_json:
        print_json({"completed": completed})


def on_signals(action: Callable[[], None]) -> None:
    """Have `action` called, from a thread, each time SIGTERM or SIGINT arrives.

    Not from a signal handler: one that interrupts a wait on a lock must not take that lock.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writing)

    def listen() -> None:
        while os.read(reading, 1):
            action()

    threading.Thread(target=listen, name="signals", daemon=True).start()
