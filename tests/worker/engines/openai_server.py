"""A small OpenAI-compatible server on loopback that behaves as the model's name says, well or badly."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN_SECONDS = 0.002
PROBE_TOKENS = 2
"""Bad behaviour spares requests for as few tokens as the engine's first one asks for."""
TOKEN = "let-me-in"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        pages = self.server.pages
        if self.path in pages:
            self._json(200, pages[self.path])
        else:
            self._json(404, {"error": "no such page"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.bodies.append(body)
            number = len(self.server.bodies)
        kind, wanted = body["model"], body["max_tokens"]
        if kind == "locked" and self.headers.get("authorization") != f"Bearer {TOKEN}":
            return self._json(401, {"error": "who are you"})
        if kind == "text-only" and not isinstance(body.get("prompt"), str):
            return self._json(422, {"error": "prompt must be a string"})
        if kind == "plain" and ("ignore_eos" in body or "stream_options" in body):
            return self._json(400, {"error": "unknown field"})
        if kind == "refusing":
            return self._json(500, {"error": "no"})
        if wanted > PROBE_TOKENS:
            if kind == "flaky" and number % 3 == 0:
                return self._json(503, {"error": "busy"})
            if kind == "page":
                return self._answer(200, "text/html", b"<html></html>")
            if kind == "redirect":
                return self._answer(302, "text/plain", b"", location="http://127.0.0.1:1/")
        return self._stream(kind if wanted > PROBE_TOKENS or kind in {"plain", "chatty"} else "steady", body)

    def _stream(self, kind: str, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        with suppress(BrokenPipeError, ConnectionResetError):
            self._events(kind, body)

    def _events(self, kind: str, body: dict[str, Any]) -> None:
        wanted = body["max_tokens"]
        sent = wanted // 2 if kind == "early" else wanted
        chat = "messages" in body
        if chat:
            self._event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
        group = 4 if kind == "lumpy" else 1
        for number in range(sent):
            if number % group == 0:
                time.sleep(TOKEN_SECONDS * group)
            if number == 2 and not self._misbehave(kind):
                return
            piece: dict[str, Any] = (
                {"delta": {"content": "x"}} if chat else {"text": "" if number == 1 else "x"}
            )
            self._event({"choices": [{"index": 0, "finish_reason": None, **piece}]})
        reason = "stop" if kind == "early" else "length"
        end: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
        self._event({"choices": [{"index": 0, "finish_reason": reason, **end}]})
        if "stream_options" in body:
            text = body["messages"][0]["content"] if chat else body["prompt"]
            count = self.server.count(text) if isinstance(text, str) else len(text)
            added = 7 if chat else 1
            self._event({"choices": [], "usage": {"prompt_tokens": count + added, "completion_tokens": sent}})
        self.wfile.write(b"data: [DONE]\n\n")

    def _misbehave(self, kind: str) -> bool:
        """Return whether the stream goes on."""
        match kind:
            case "garbled":
                self.wfile.write(b"data: {not json\n\n")
            case "endless":
                self.wfile.write(b"data: " + b"x" * (2**21))
            case "silent":
                time.sleep(3)
            case "trickling":
                for _ in range(100):
                    self.wfile.write(b": still here\n\n")
                    time.sleep(0.05)
            case "failing":
                self._event({"error": {"message": "the worker died"}})
            case _:
                pass
        return kind not in {"failing", "breaking"}

    def _event(self, content: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(content).encode() + b"\n\n")

    def _json(self, status: int, content: Any) -> None:
        self._answer(status, "application/json", json.dumps(content).encode())

    def _answer(self, status: int, kind: str, content: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.bodies: list[dict[str, Any]] = []
        self.pages: dict[str, Any] = {}
        self.count: Callable[[str], int] = lambda text: len(text.split())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running() -> Generator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
