"""The registry: the only SQL of the system, one module of services per noun.

registry = open_registry("sqlite:///planner.db")
with registry.write() as tx:
    variant, created = variants.register(tx, variant)
with registry.read() as tx:
    page = variants.page(tx, VariantFilter(max_bits=4), sort=VariantSort.LOSS)
"""

from __future__ import annotations

from planner.registry import gate_tables as gate_tables  # its tables belong to every schema
from planner.registry import identity_tables as identity_tables  # its tables belong to every schema
from planner.registry import migrate
from planner.registry import upload_tables as upload_tables  # same
from planner.registry.engine import connect
from planner.registry.pages import Page
from planner.registry.transaction import ReadTransaction, Registry, Transaction, WriteTransaction

__all__ = ["Page", "ReadTransaction", "Registry", "Transaction", "WriteTransaction", "open_registry"]


def open_registry(url: str) -> Registry:
    """Return the registry at `url`, with its schema brought up to date.

    "sqlite:///path" creates the file and its folder. Raises InvalidInput for a URL that is not understood, Unavailable
    for a database that cannot be reached, and Conflict for one that a newer version of planner has migrated.
    """
    engines = connect(url)
    try:
        migrate.upgrade(engines)
    except BaseException:
        engines.dispose()
        raise
    return Registry(engines)
