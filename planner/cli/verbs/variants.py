"""`planner variants`: list and filter variants."""

from __future__ import annotations

import rich_click as click

from planner.cli.render.tables import print_page, variants_table
from planner.cli.session import Session, console, page_options, session_options
from planner.domain.listing import VariantFilter, VariantSort
from planner.domain.units import parse_bytes
from planner.domain.variant import FileFormat


@click.command("variants")
@click.argument("search", required=False)
@click.option("--model", help="Only variants of this model.")
@click.option("--scheme", help="Only this scheme, such as int4, fp8 or q4_k_m.")
@click.option(
    "--format", "file_format", type=click.Choice([f.value for f in FileFormat]), help="Only this file format."
)
@click.option("--fetchable", is_flag=True, help="Only variants whose files are in the registry.")
@click.option("--max-size", metavar="SIZE", help='Only weights up to SIZE of memory, such as "12GB".')
@click.option(
    "--max-loss",
    type=click.FloatRange(-1, 1),
    help="Only variants known to lose at most this fraction over all tasks, such as 0.01.",
)
@click.option(
    "--sort",
    type=click.Choice([order.value for order in VariantSort]),
    default="name",
    show_default=True,
    help='Order; a leading "-" reverses it.',
)
@page_options
@session_options
def command(
    *,
    session: Session,
    search: str | None,
    model: str | None,
    scheme: str | None,
    file_format: str | None,
    fetchable: bool,
    max_size: str | None,
    max_loss: float | None,
    sort: str,
    limit: int,
    cursor: str | None,
) -> None:
    """List variants, all or those whose name contains SEARCH."""
    wanted = VariantFilter(
        search=search,
        model=model,
        scheme=scheme,
        format=FileFormat(file_format) if file_format else None,
        fetchable=True if fetchable else None,
        max_weight_bytes=parse_bytes(max_size, field="--max-size", binary=True) if max_size else None,
        max_loss=max_loss,
    )
    with session.service() as service:
        page = service.variants(wanted, sort=VariantSort(sort), limit=limit, cursor=cursor)
    if session.json:
        session.print_json(page)
    else:
        print_page(
            console(), variants_table(page.items), next_cursor=page.next_cursor, empty="no variant matches"
        )
