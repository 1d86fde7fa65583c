"""`planner gate`: whether a build may take the place of another, by a policy, with a verdict for people and for CI."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import rich_click as click
from rich.text import Text

from planner.cli.gate_waiting import wait_for_verdict
from planner.cli.render.gate import history_table, print_report, rows_table
from planner.cli.render.gate_junit import junit
from planner.cli.render.gate_markdown import markdown
from planner.cli.render.gate_sarif import sarif
from planner.cli.render.tables import print_page
from planner.cli.session import Session, console, page_options, session_options
from planner.errors import InvalidInput
from planner.gate.policy import Policy
from planner.gate.policy_schema import schema
from planner.gate.policy_text import MAX_CHARACTERS, InvalidPolicy, line_of, parse_policy
from planner.gate.report import GateReport, GateVerdict
from planner.wire.gating import GateAllRequest, GateRequest, PolicyCheck

_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_OUT: Final = click.Path(dir_okay=False, writable=True, path_type=Path)
SUMMARY: Final = "GITHUB_STEP_SUMMARY"
"""Variable that names the file a GitHub job's summary is appended to."""


@click.command("gate")
@click.argument("names", nargs=-1, metavar="[VARIANT]")
@click.option("--policy", "policy_file", type=_FILE, help="The policy, a YAML file.")
@click.option(
    "--against",
    help="Instead of the policy's: base, alias:NAME or variant:ID.  [default: the policy's, base]",
)
@click.option("--sequential", is_flag=True, help="Judge by tests that may be looked at while evidence grows.")
@click.option("--queue", is_flag=True, help="Queue the jobs that would decide what is open; each only once.")
@click.option("--wait", is_flag=True, help="With the jobs queued, wait until the verdict is decided.")
@click.option(
    "--wait-minutes",
    type=click.IntRange(1, 100_000),
    help="With --wait: give up, inconclusive, after so many minutes.",
)
@click.option("--dry-run", is_flag=True, help="Judge and change nothing: no alias, no state, no job.")
@click.option("--explain", is_flag=True, help="List the items that changed, worst first.")
@click.option("--junit", "junit_file", type=_OUT, help="Write the checks as JUnit XML.")
@click.option("--sarif", "sarif_file", type=_OUT, help="Write the checks as SARIF 2.1.0.")
@click.option(
    "--markdown",
    "markdown_file",
    type=_OUT,
    help=f"Write the report as Markdown.  [env: {SUMMARY}, appended]",
)
@click.option("--actor", help="Who promotes; a server that asks for tokens writes down whose token it was.")
@click.option("--all", "judge_all", is_flag=True, help="Say which variants would fail; needs --dry-run.")
@click.option("--model", help="With --all: only variants of this model.")
@click.option("--search", help="With --all: only variants whose name, model or scheme holds these words.")
@click.option("--published", is_flag=True, help="With --all: also variants known from publications only.")
@click.option("--history", is_flag=True, help="List earlier gates, of VARIANT or of all.")
@click.option("--check-policy", is_flag=True, help="Only check policy files, named instead of VARIANT.")
@click.option("--schema", "print_schema", is_flag=True, help="Print the JSON schema of a policy file.")
@page_options
@session_options
def command(
    *,
    session: Session,
    names: tuple[str, ...],
    policy_file: Path | None,
    against: str | None,
    sequential: bool,
    queue: bool,
    wait: bool,
    wait_minutes: int | None,
    dry_run: bool,
    explain: bool,
    junit_file: Path | None,
    sarif_file: Path | None,
    markdown_file: Path | None,
    actor: str | None,
    judge_all: bool,
    model: str | None,
    search: str | None,
    published: bool,
    history: bool,
    check_policy: bool,
    print_schema: bool,
    limit: int,
    cursor: str | None,
) -> int:
    """Judge VARIANT by a policy: pass, fail, or inconclusive with what would decide.

    A pass moves the alias that the policy names, if it still points where it did; a fail quarantines where the policy says so.
    A server's floor applies whatever the policy says.

    Exit codes: 0 passed; 1 failure of ours, or the verdict's effect could not be had; 2 usage or a wrong policy; 3 failed; 4
    inconclusive, or evidence missing or stale.
    """
    modes = {
        "--all": judge_all,
        "--history": history,
        "--check-policy": check_policy,
        "--schema": print_schema,
    }
    mode = _mode(modes)
    _check(
        {"--wait-minutes": (wait_minutes is not None, wait), "--model": (model is not None, judge_all)}
        | {"--search": (search is not None, judge_all), "--published": (published, judge_all)}
        | {"--wait": (wait, mode is None and not dry_run), "--queue": (queue, mode is None and not dry_run)}
    )
    if mode == "--schema":
        session.print_json(schema())
        return 0
    if mode == "--check-policy":
        return _check_files(session, [*map(Path, names), *([policy_file] if policy_file else [])])
    variant = _one(names, needed=mode is None)
    if mode == "--history":
        return _history(session, variant, limit=limit, cursor=cursor)
    if policy_file is None:
        raise InvalidInput("--policy", "is missing", allowed="a policy file")
    text, policy = _read(policy_file)
    if mode == "--all":
        if not dry_run:
            raise InvalidInput("--all", "changes nothing", allowed="with --dry-run")
        wanted = GateAllRequest(
            policy=policy, against=against, model=model, search=search, published=published
        )
        return _all(session, wanted, limit=limit, cursor=cursor)
    request = GateRequest(
        variant=variant or "",
        policy=policy,
        against=against,
        dry_run=dry_run,
        sequential=sequential,
        queue=queue or wait,
        explain=explain,
        actor=actor,
    )
    with session.service() as service:
        report = service.gate(request)
        if wait and report.verdict is GateVerdict.INCONCLUSIVE:
            report = wait_for_verdict(service, request, report, minutes=wait_minutes, quiet=session.json)
    _write(
        report, policy_file, text, junit_file=junit_file, sarif_file=sarif_file, markdown_file=markdown_file
    )
    if session.json:
        session.print_json(report)
    else:
        print_report(console(), report)
    return report.exit_code


def _mode(modes: Mapping[str, bool]) -> str | None:
    given = [name for name, value in modes.items() if value]
    if len(given) > 1:
        raise InvalidInput(given[1], f"does not go with {given[0]}", allowed="one of the two")
    return given[0] if given else None


def _check(options: Mapping[str, tuple[bool, bool]]) -> None:
    """Raise InvalidInput for an option that is given where it means nothing."""
    places = {
        "--wait-minutes": "with --wait",
        "--wait": "for one variant, without --dry-run",
        "--queue": "for one variant, without --dry-run",
    }
    for name, (given, allowed) in options.items():
        if given and not allowed:
            raise InvalidInput(name, "means nothing here", allowed=places.get(name, "with --all"))


def _one(names: tuple[str, ...], *, needed: bool) -> str | None:
    if len(names) > 1:
        raise InvalidInput("VARIANT", f"{len(names)} are given", allowed="one variant")
    if needed and not names:
        raise InvalidInput("VARIANT", "is missing", allowed="id, name or alias of the variant to judge")
    return names[0] if names else None


def _read(path: Path) -> tuple[str, Policy]:
    """Return a policy file's text and policy. Raises InvalidInput naming field and line."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CHARACTERS * 4 + 1).decode()
    except OSError as error:
        raise InvalidInput(str(path), f"cannot be read: {error.strerror}", allowed="a policy file") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(
            str(path), f"is not UTF-8 at byte {error.start}", allowed="a policy file"
        ) from error
    return text, parse_policy(text, name=str(path))


def _check_files(session: Session, files: list[Path]) -> int:
    """Check policy files, with a server also against its floor; 2 when any is wrong."""
    if not files:
        raise InvalidInput("--check-policy", "names no file", allowed="policy files")
    wrong: list[dict[str, object]] = []
    found: dict[str, PolicyCheck] = {}
    for path in files:
        try:
            _, policy = _read(path)
        except InvalidInput as error:
            wrong += _problems(path, error)
            continue
        found[str(path)] = PolicyCheck(policy=policy)
        if session.server is not None:
            with session.service() as service:
                found[str(path)] = service.check_policy(policy)
    if session.json:
        session.print_json({"problems": wrong, "policies": found})
    else:
        out, err = console(), console(stderr=True)
        for each in wrong:
            err.print(Text(str(each["text"])), soft_wrap=True)
        for name, check in found.items():
            out.print(Text(f"{name}: ", style="bold") + Text("a valid policy", style="green"), soft_wrap=True)
            for raised in check.raised:
                out.print(Text(f"  floor: {raised.field} is {raised.floor} there, asked {raised.asked}"))
    return 2 if wrong else 0


def _problems(path: Path, error: InvalidInput) -> list[dict[str, object]]:
    """Return what is wrong with a file, as JSON has it."""
    if not isinstance(error, InvalidPolicy):
        return [{"file": str(path), "text": error.message}]
    return [
        {"file": str(path), "text": f"{path}: {each}", **msgspec.to_builtins(each)} for each in error.problems
    ]


def _history(session: Session, variant: str | None, *, limit: int, cursor: str | None) -> int:
    with session.service() as service:
        page = service.gates(variant=variant, limit=limit, cursor=cursor)
    if session.json:
        session.print_json(page)
    else:
        table = history_table(page.items)
        print_page(console(), table, next_cursor=page.next_cursor, empty="no gate was run")
    return 0


def _all(session: Session, wanted: GateAllRequest, *, limit: int, cursor: str | None) -> int:
    with session.service() as service:
        page = service.gate_all(wanted, limit=limit, cursor=cursor)
    if session.json:
        session.print_json(page)
        return 0
    out = console()
    print_page(out, rows_table(page.items), next_cursor=page.next_cursor, empty="no variant matches")
    counts = [(verdict.value, sum(row.verdict is verdict for row in page.items)) for verdict in GateVerdict]
    out.print(Text(", ".join(f"{count} {name}" for name, count in counts if count), style="bold"))
    return 0


def _write(
    report: GateReport,
    policy_file: Path,
    text: str,
    *,
    junit_file: Path | None,
    sarif_file: Path | None,
    markdown_file: Path | None,
) -> None:
    """Write the files that were asked for. Raises InvalidInput for one that cannot be written."""
    if junit_file is not None:
        _write_text(junit_file, junit(report))
    if sarif_file is not None:
        _write_text(sarif_file, sarif(report, uri=_uri(policy_file), line_of=partial(line_of, text)))
    if markdown_file is not None:
        _write_text(markdown_file, markdown(report))
    summary = os.environ.get(SUMMARY)
    if summary:
        _write_text(Path(summary), markdown(report), append=True)


def _uri(path: Path) -> str:
    """Return the policy file as a repository names it: relative to where the command runs, where it lies below."""
    try:
        return path.resolve().relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        return path.name


def _write_text(path: Path, text: str, *, append: bool = False) -> None:
    try:
        with path.open("a" if append else "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InvalidInput(
            str(path), f"cannot be written: {error.strerror}", allowed="a file in a folder that exists"
        ) from error
