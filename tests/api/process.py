"""A real server process on a free loopback port."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_RUN = """
import json, sys
from pathlib import Path
from planner.api.serve import serve
from planner.settings import load_settings
serve(load_settings(json.loads(sys.argv[2]), data_dir=Path(sys.argv[1]), port=0), ready=lambda url: print(url, flush=True), grace_seconds=3)
"""
_ROOT = Path(__file__).resolve().parents[2]


class Server:
    """A running server: its address and its process."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def kill(self) -> None:
        """End it as a power failure would."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """Ask it to stop; returns its exit status."""
        self.process.terminate()
        return self.process.wait(timeout=30)


@contextmanager
def running_server(data_dir: Path, environ: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Start a server on `data_dir` with the settings in `environ`; it is stopped at the end unless the test did so."""
    with subprocess.Popen(
        [sys.executable, "-c", _RUN, str(data_dir), json.dumps(dict(environ or {}))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                assert process.stderr is not None
                raise AssertionError(f"the server did not start:\n{process.stderr.read()}")
            yield Server(process, url)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout=30)
                except subprocess.TimeoutExpired:
                    process.kill()
