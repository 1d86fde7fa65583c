"""Search MLflow's model registry for what a question asks, as a program for an environment of its own.

    python mlflow_search.py DATABASE < variants.jsonl

Reads variants as lines of JSON {"name", "size", "bytes", "loss"} and prints JSON: versions found, seconds of each search. A
filter of model versions compares tags as text for equality only, so the bounds are applied to what comes back, page by page.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

SEARCHES = 5
PAGE = 10_000


def fill(database: str, lines: list[dict[str, Any]]) -> None:
    """Write every variant as a model version with tags, into the tables that MLflow itself made."""
    import sqlalchemy
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"sqlite:///{database}")
    engine = sqlalchemy.create_engine(f"sqlite:///{database}")
    tables = sqlalchemy.MetaData()
    tables.reflect(engine)
    extra = {"workspace": "default"} if "workspace" in tables.tables["registered_models"].columns else {}
    now = int(time.time() * 1000)
    with engine.begin() as connection:
        connection.execute(
            tables.tables["registered_models"].insert(),
            [
                {"name": line["name"], "creation_time": now, "last_updated_time": now, **extra}
                for line in lines
            ],
        )
        connection.execute(
            tables.tables["model_versions"].insert(),
            [
                {
                    "name": line["name"], "version": 1, "creation_time": now, "last_updated_time": now,
                    "current_stage": "None", "status": "READY", "source": f"file:///{line['name']}", **extra,
                }
                for line in lines
            ],
        )  # fmt: skip
        connection.execute(
            tables.tables["model_version_tags"].insert(),
            [
                {"name": line["name"], "version": 1, "key": key, "value": str(line[key]), **extra}
                for line in lines
                for key in ("size", "bytes", "loss")
            ],
        )


def main(database: str) -> None:
    """Fill the registry from standard input, search it, print the times."""
    lines = [json.loads(line) for line in sys.stdin]
    fill(database, lines)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{database}", registry_uri=f"sqlite:///{database}")
    seconds: list[float] = []
    found: list[tuple[float, float, str]] = []
    for _ in range(SEARCHES):
        start = time.process_time()
        found, token = [], None
        while True:
            page = client.search_model_versions("tags.size = '13'", max_results=PAGE, page_token=token)
            for version in page:
                loss, needed = float(version.tags["loss"]), float(version.tags["bytes"])
                if needed <= 23.4 * 2**30 and loss <= 0.01:
                    found.append((loss, needed, version.name))
            token = page.token
            if not token:
                break
        best = min(found, default=None)
        seconds.append(time.process_time() - start)
    print(json.dumps({"found": len(found), "best": best[2] if best else None, "seconds": sorted(seconds)}))


if __name__ == "__main__":
    main(sys.argv[1])
