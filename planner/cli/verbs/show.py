"""`planner show`: one thing in full, found by any of its names."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import rich_click as click
from rich.text import Text

from planner.cli.render.answer import render_plan
from planner.cli.render.registrations import registrations_table
from planner.cli.render.tables import decode_limits, evaluations_table, listing, profiles_table, record
from planner.cli.session import Session, console, session_options
from planner.domain.lifecycle import LifecycleState
from planner.domain.outcome import Plan
from planner.domain.scenario import Preset
from planner.domain.variant import Variant
from planner.errors import NotFound
from planner.wire.service import Service

KINDS = ("variant", "model", "device", "preset", "plan")


def _preset(service: Service, name: str) -> Preset:
    presets = service.presets()
    wanted = name.casefold()
    for preset in presets:
        if wanted in {word.casefold() for word in (preset.id, preset.name, *preset.aliases)}:
            return preset
    raise NotFound("preset", name, nearest=tuple(preset.id for preset in presets[:3]))


def find(service: Service, name: str, *, kind: str | None) -> msgspec.Struct:
    """Return the first thing called `name` in the order of `KINDS`, or of one `kind`. Raises NotFound."""
    finders: dict[str, Callable[[str], msgspec.Struct]] = {
        "variant": service.variant,
        "model": service.model,
        "device": service.device,
        "preset": lambda text: _preset(service, text),
        "plan": service.plan,
    }
    nearest: list[str] = []
    for each in [kind] if kind else KINDS:
        try:
            return finders[each](name)
        except NotFound as error:
            nearest += error.details.get("nearest") or []
    raise NotFound(kind or "variant, model, device, preset or plan", name, nearest=tuple(nearest[:5]))


def _print_variant(service: Service, variant: Variant) -> None:
    out = console()
    out.print(record(variant, skip=frozenset({"artifacts"})))
    state = service.state(variant.id).current
    if state.state is not LifecycleState.ACTIVE:
        out.print(Text(state.describe(), style="bold red"))
    evaluations = service.evaluations(variant=variant.id, limit=200)
    profiles = service.profiles(variant=variant.id, limit=200)
    out.print()
    out.print(evaluations_table(evaluations.items) if evaluations.items else "loss: no evidence")
    out.print()
    out.print(profiles_table(profiles.items) if profiles.items else "speed and memory: no evidence")
    for line in decode_limits(profiles.items):
        out.print(line)
    _print_registrations(service, variant)
    if variant.artifacts:
        files = listing(("file", "bytes", "sha256"))
        for artifact in variant.artifacts:
            files.add_row(artifact.path, f"{artifact.size:,}", artifact.sha256)
        out.print()
        out.print(files)


def _print_registrations(service: Service, variant: Variant) -> None:
    registrations = service.registrations(variant=variant.id, limit=20).items
    signatures = service.signatures(variant.id)
    if registrations:
        console().print()
        console().print(registrations_table(registrations))
    for signature in signatures:
        by = f"key {signature.key[:16]}…" if signature.key else "no plain key"
        console().print(
            f"signed with {by}, handed in {signature.signed_at:%Y-%m-%d %H:%M} by {signature.actor}"
        )


@click.command("show")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), help="Look only among these.")
@click.option("--replay", is_flag=True, help="Compute the plan NAME again as of its time, and compare.")
@session_options
def command(*, session: Session, name: str, kind: str | None, replay: bool) -> int:
    """Show the variant, model, device, preset or plan called NAME, with its evidence.

    With --replay the exit status is 1 when a plan does not replay to the same answer.
    """
    with session.service() as service:
        if replay:
            again = service.replay(name)
            if session.json:
                session.print_json(again)
            else:
                console().print("identical" if again.identical else "differs", again.replayed_digest)
            return 0 if again.identical else 1
        found = find(service, name, kind=kind)
        if session.json:
            session.print_json(found)
        elif isinstance(found, Variant):
            _print_variant(service, found)
        elif isinstance(found, Plan):
            render_plan(console(), found, show_all=True)
        else:
            out = console()
            out.print(Text(type(found).__name__.lower(), style="dim"))
            out.print(record(found))
    return 0
