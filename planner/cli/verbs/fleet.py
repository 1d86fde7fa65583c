"""`planner fleet`: several demands on a fixed pool of devices, from a TOML or JSON file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from planner.cli.render.fleet import render_fleet
from planner.cli.session import Session, console, prices_option, session_options
from planner.domain.fleet import Fleet, FleetObjective, Placed
from planner.errors import InvalidInput

INFEASIBLE = 3


def load_fleet(path: Path) -> Fleet:
    """Return the fleet in a TOML file, or a JSON one by its name. Raises InvalidInput naming the field."""
    try:
        text = path.read_text(encoding="utf-8")
        document: Any = msgspec.json.decode(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
        return msgspec.convert(document, Fleet)
    except msgspec.ValidationError as error:
        raise InvalidInput(str(path), str(error)) from error
    except (tomllib.TOMLDecodeError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(
            str(path), f"cannot be read: {error}", allowed="TOML, or JSON in a .json file"
        ) from error


@click.command("fleet")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--objective",
    type=click.Choice([objective.value for objective in FleetObjective]),
    help="What to optimize, instead of what FILE says.",
)
@prices_option
@session_options
def command(*, session: Session, file: Path, objective: str | None, prices: Path | None) -> int:
    """Assign the devices of a pool to the demands in FILE.

    FILE has a table `pool` of device counts and a list `demands`, each with a name, requests per second, and a question in
    words or a scenario. Bounds of loss and latency are never loosened.

    Exit codes: 0 placed, 2 not understood, 3 the pool does not suffice.
    """
    fleet = load_fleet(file)
    if objective is not None:
        fleet = msgspec.structs.replace(fleet, objective=FleetObjective(objective))
    with session.service(prices=prices) as service:
        answer = service.fleet(fleet)
    if session.json:
        session.print_json(answer)
    else:
        render_fleet(console(), answer)
    return 0 if isinstance(answer.result, Placed) else INFEASIBLE
