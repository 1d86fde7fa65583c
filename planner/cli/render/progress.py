"""Progress of long work on stderr, so that stdout stays for the result."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


@contextmanager
def byte_progress(label: str, *, quiet: bool) -> Generator[Callable[[int, int], None] | None]:
    """Yield a function taking (bytes done, bytes in all) that moves a bar; None when `quiet`."""
    if quiet:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def share_progress(label: str, *, quiet: bool) -> Generator[Callable[[float, str], None]]:
    """Yield a function taking (share done, what is being done) that moves a bar; it does nothing when `quiet`."""
    if quiet:
        yield lambda _share, _text: None
        return
    columns = (
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=1.0)
        yield lambda share, text: bar.update(task, completed=share, description=text)
