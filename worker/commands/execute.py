"""Running one job by hand: the same runner as the agent's, with a bar, and the result shown or handed in."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from planner.client import Client
from planner.errors import InvalidInput, PlannerError
from worker.commands.options import cache_folder, prepare_folder
from worker.commands.show import print_json, progress_bar, show_result, show_submitted
from worker.failure import JobStopped
from worker.jobs import Result, Spec
from worker.runner import Runner
from worker.server import ServerFiles
from worker.sources import Resolver
from worker.submit import submit


def execute(
    spec: Spec,
    *,
    title: str,
    out: Path | None,
    server: str | None,
    hand_in: bool,
    as_json: bool,
) -> Result:
    """Run the job, print its result, hand it in when asked, and return it. Without `out` the files are not kept.

    Raises InvalidInput when it is to be handed in and no server is named, or `out` cannot be written to, Unavailable when
    that server does not answer, JobFailed when the job fails.
    """
    if hand_in and server is None:
        raise InvalidInput("submit", "no server is named", allowed="--server URL")
    with ExitStack() as stack:
        client = stack.enter_context(Client(server)) if server else None
        if hand_in and client is not None:
            client.health()  # an address nobody answers at is known before the work, not after it
        folder = (
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="worker-")))
            if out is None
            else prepare_folder(out, field="out")
        )
        stop = stack.enter_context(stop_on_signal())
        resolver = Resolver(cache=cache_folder(), files=ServerFiles(client) if client else None)
        with progress_bar(title) as report:
            try:
                result = Runner(resolver, stop=stop).run(spec, folder, report=report)
            except JobStopped:
                raise KeyboardInterrupt from None
        submitted = []
        if hand_in and client is not None:
            try:
                with progress_bar("submit") as report:
                    submitted.append(submit(client, folder, result, report=report))
            except PlannerError:
                if out is not None:
                    sys.stderr.write(f"the result is kept: worker submit {out} --server {server}\n")
                raise
        if as_json:
            print_json(result)
        else:
            show_result(result)
            show_submitted(submitted)
        return result


@contextmanager
def stop_on_signal() -> Generator[threading.Event]:
    """Give an event that SIGINT and SIGTERM set, so that the child is ended before this process is."""
    stop = threading.Event()
    previous = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
