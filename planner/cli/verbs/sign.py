"""`planner sign`: a variant's manifest signed with a key that stays here."""

from __future__ import annotations

import os
from pathlib import Path

import rich_click as click
from rich.text import Text

from planner.cli.session import Session, console, session_options
from planner.cli.verbs.fetch import resolve
from planner.errors import InvalidInput


@click.command("sign")
@click.argument("variant")
@click.option(
    "--key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Private key (PEM, on P-256, P-384 or P-521) to sign with.",
)
@click.option("--password-env", metavar="NAME", help="Environment variable with the key's password.")
@click.option(
    "--bundle",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep this bundle that `model_signing sign` made, in any of its ways, in place of signing with --key.",
)
@session_options
def command(
    *, session: Session, variant: str, key: Path | None, password_env: str | None, bundle: Path | None
) -> None:
    """Sign the manifest of VARIANT and keep the signature beside it.

    What is signed is the sha256 of every file, as the registry has checked it; no file is read again, and the key never
    leaves this machine. `planner fetch --verify-key` checks it, and so does `model_signing verify key` on the fetched folder.
    """
    if (key is None) == (bundle is None):
        raise click.UsageError("give --key or --bundle")
    with session.service() as service:
        found = resolve(service, variant)
        if bundle is not None:
            try:
                content = bundle.read_bytes()
            except OSError as error:
                raise InvalidInput("--bundle", f"`{bundle}` cannot be read: {error.strerror}") from error
        else:
            from planner.artifacts.signing import sign

            assert key is not None
            content = sign(found.name, found.artifacts, key, password=_password(password_env))
        record = service.add_signature(found.id, content)
    if session.json:
        session.print_json(record)
        return
    by = f"by key {record.key[:16]}…" if record.key else "not by a plain key"
    console().print(Text("signed: ", style="bold") + Text(f"{found.name}, {found.id}"), soft_wrap=True)
    console().print(f"  {len(found.artifacts)} files, {by}, bundle {record.sha256[:16]}…")


def _password(variable: str | None) -> str | None:
    if variable is None:
        return None
    password = os.environ.get(variable)
    if password is None:
        raise InvalidInput(
            "--password-env", f"`{variable}` is not set", allowed="a variable with the password"
        )
    return password
