"""Records the answers that the dashboard's unit tests draw: `python -m tests.web.record` asks a real server again."""

from __future__ import annotations

import tempfile
from pathlib import Path

import httpx
import msgspec

from tests.api.process import running_server

FOLDER = Path(__file__).resolve().parents[2] / "web" / "src" / "fixtures"
QUESTIONS = {
    "recommended": "qwq on 2x4090, ≤1% loss",
    "infeasible": "qwq on 8GB, ≤1% loss",
    "misunderstood": "13B on 24GB, 1% floss",
}


def main() -> None:
    """Write one file for each question."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server:
        for name, question in QUESTIONS.items():
            answer = httpx.get(f"{server.url}/api/v1/recommend", params={"q": question})
            (FOLDER / f"{name}.json").write_bytes(msgspec.json.format(answer.content, indent=1) + b"\n")


if __name__ == "__main__":
    main()
