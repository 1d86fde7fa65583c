"""Search MLflow's model versions by numbers, as a program for an environment of its own.

    python mlflow_versions.py DATABASE < versions.jsonl

Reads versions as lines of JSON {"name", "version", "tags"}, writes them into the tables that MLflow itself made and prints the
milliseconds of its searches as JSON. Its filters compare tags as text, for equality and LIKE only, so numbers are compared
here, page by page, as a user of its client has to.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

SEARCHES = 3
PAGE = 10_000
GIB = 2**30


def fill(database: str, lines: list[dict[str, Any]]) -> None:
    """Write every line as a model version with tags."""
    import sqlalchemy
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"sqlite:///{database}")
    engine = sqlalchemy.create_engine(f"sqlite:///{database}")
    tables = sqlalchemy.MetaData()
    tables.reflect(engine)
    extra = {"workspace": "default"} if "workspace" in tables.tables["registered_models"].columns else {}
    now = int(time.time() * 1000)
    times = {"creation_time": now, "last_updated_time": now, **extra}
    with engine.begin() as connection:
        connection.execute(
            tables.tables["registered_models"].insert(),
            [{"name": name, **times} for name in sorted({line["name"] for line in lines})],
        )
        connection.execute(
            tables.tables["model_versions"].insert(),
            [
                {"name": line["name"], "version": line["version"], "current_stage": "None", "status": "READY",
                 "source": f"file:///{line['name']}", **times}
                for line in lines
            ],
        )  # fmt: skip
        connection.execute(
            tables.tables["model_version_tags"].insert(),
            [
                {"name": line["name"], "version": line["version"], "key": key, "value": str(value), **extra}
                for line in lines
                for key, value in line["tags"].items()
            ],
        )


def main(database: str) -> None:
    """Fill the registry from standard input, search it, print the times."""
    lines = [json.loads(line) for line in sys.stdin]
    fill(database, lines)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{database}", registry_uri=f"sqlite:///{database}")
    found: list[Any] = []

    def search(query: str, passes: Callable[[dict[str, str]], bool]) -> float:
        seconds: list[float] = []
        for _ in range(SEARCHES):
            found.clear()
            token: str | None = None
            started = time.perf_counter()
            while True:
                page = client.search_model_versions(query, max_results=PAGE, page_token=token)
                found.extend(version for version in page if passes(version.tags))
                token = page.token
                if not token:
                    break
            found.sort(key=lambda version: float(version.tags["loss"]))
            seconds.append(time.perf_counter() - started)
        return 1000 * statistics.median(seconds)

    def small(tags: dict[str, str]) -> bool:
        return float(tags["bytes"]) <= 12 * GIB

    def accurate(tags: dict[str, str]) -> bool:
        return float(tags["loss"]) <= 0.01

    one = lines[0]["name"]
    times = {
        "size": search("", small),
        "bits": search("tags.bits = '4'", lambda tags: True),
        "loss": search("", accurate),
        "size, bits and loss": search("tags.bits = '4'", lambda tags: small(tags) and accurate(tags)),
        "planner: loss and memory of every model": search(
            "", lambda tags: accurate(tags) and float(tags["memory"]) <= 24 * GIB
        ),
    }
    times["one model, size and loss"] = search(f"name = '{one}'", lambda tags: small(tags) and accurate(tags))
    times["planner: loss, TPOT and memory of one model"] = search(
        f"name = '{one}'",
        lambda tags: accurate(tags) and float(tags["tpot"]) <= 0.03 and float(tags["memory"]) <= 24 * GIB,
    )
    print(json.dumps(times))


if __name__ == "__main__":
    main(sys.argv[1])
