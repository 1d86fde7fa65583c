"""The HTTP client: the same use cases as `planner.workspace`, asked of a server.

    with Client("http://127.0.0.1:8765") as client:
        plan = client.recommend(query="13B on 24GB, ≤1% loss")

        for variant in every(client.variants):
            ...

`AsyncClient` does the same for asyncio: `await client.call(Client.recommend, query="…")`.
"""

from __future__ import annotations

from planner.client.asynchronous import AsyncClient
from planner.client.paging import every
from planner.client.synchronous import Client

__all__ = ["AsyncClient", "Client", "every"]
