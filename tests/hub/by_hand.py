"""The writing protocol spoken step by step, so that a test can stop wherever it wants."""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar

import httpx


class Pusher:
    """The protocol step by step, as a client that stops wherever the test wants."""

    opened: ClassVar[list[httpx.Client]] = []

    def __init__(self, url: str, repository: str = "acme/by-hand") -> None:
        self.http = httpx.Client(base_url=url, timeout=30)
        self.opened.append(self.http)
        self.repository = repository
        organization, name = repository.split("/")
        self.http.post("/api/repos/create", json={"name": name, "organization": organization})

    @classmethod
    def close_all(cls) -> None:
        while cls.opened:
            cls.opened.pop().close()

    def batch(self, content: bytes) -> dict[str, Any]:
        wanted = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}
        answer = self.http.post(
            f"/{self.repository}.git/info/lfs/objects/batch",
            json={"operation": "upload", "transfers": ["basic", "multipart"], "objects": [wanted]},
        )
        (found,) = answer.raise_for_status().json()["objects"]
        return dict(found)

    def parts(self, content: bytes) -> tuple[str, list[tuple[str, bytes]]]:
        upload = self.batch(content)["actions"]["upload"]
        size = int(upload["header"]["chunk_size"])
        addresses = [upload["header"][str(n + 1)] for n in range(len(upload["header"]) - 1)]
        return upload["href"], [
            (each, content[n * size : (n + 1) * size]) for n, each in enumerate(addresses)
        ]

    def complete(self, href: str, content: bytes, etags: list[str]) -> httpx.Response:
        parts = [{"partNumber": n + 1, "etag": etag} for n, etag in enumerate(etags)]
        return self.http.post(href, json={"oid": hashlib.sha256(content).hexdigest(), "parts": parts})

    def commit(self, *lines: dict[str, Any], branch: str = "main", **header: Any) -> httpx.Response:
        first = {"key": "header", "value": {"summary": "by hand", **header}}
        body = "\n".join(json.dumps(line) for line in (first, *lines))
        return self.http.post(f"/api/models/{self.repository}/commit/{branch}", content=body)

    def head(self) -> str:
        sha: str = self.http.get(f"/api/models/{self.repository}").raise_for_status().json()["sha"]
        return sha


def lfs_line(content: bytes, path: str = "data.safetensors") -> dict[str, Any]:
    value = {"path": path, "algo": "sha256", "oid": hashlib.sha256(content).hexdigest(), "size": len(content)}
    return {"key": "lfsFile", "value": value}


def text_line(path: str, text: str) -> dict[str, Any]:
    return {"key": "file", "value": {"path": path, "content": text, "encoding": "utf-8"}}
