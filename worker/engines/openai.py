"""Any server that speaks the OpenAI API, as an engine: requests over HTTP, answers streamed, every piece timed on arrival.

Servers differ in what they accept, so the first request of all finds out: token ids or text, whether ignoring the end of
the text is understood, whether usage is reported, and how many tokens a template adds. Nothing an answer contains is
trusted: sizes and times have limits, and what cannot be read is that request's error.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, Self

import httpx
import msgspec

from planner.domain.profile import Fact
from planner.domain.runtime import Runtime
from planner.errors import InvalidInput, Unavailable
from worker.engines.endpoint import OK, Endpoint, Served, ask_server
from worker.engines.prompts import TextPrompts
from worker.engines.requests import Answer, Request
from worker.engines.sse import BadStream, EventParser

MODE: Final = "serving"
_FIRST_IDS: Final = 256
"""Ids that are left out at the beginning of a vocabulary, as they are often bytes and control tokens; as many at its end."""
_SMALL_VOCABULARY: Final = 1000
_GRACE_SECONDS: Final = 60.0
_PROBE_TOKENS: Final = 24
_MAX_ERROR: Final = 200


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct):
    text: str | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


class _Refused(Exception):
    """The server does not take a request of this form."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Form(msgspec.Struct, frozen=True):
    """How requests are put so that this server takes them."""

    ids: bool
    ignore_eos: bool
    usage: bool
    added_tokens: int = 0
    """Tokens that the server adds to a prompt: a template's, a start token."""


class OpenAIEngine:
    """One model on one server. Close it, or use it as a context."""

    def __init__(self, endpoint: Endpoint, *, vocabulary: int | None, tokenizer: Any | None) -> None:
        """Reach the server and find out how it wants to be asked.

        Raises Unavailable when it does not answer, InvalidInput when it does not take any form of request or does not
        say what runs it.
        """
        self._endpoint = endpoint
        size = vocabulary if vocabulary is not None else _SMALL_VOCABULARY
        self._first = min(_FIRST_IDS, size // 10)
        self._vocabulary = max(1, size - 2 * self._first)
        self._tokenizer = tokenizer
        self._texts: TextPrompts | None = None
        self._client = endpoint.client(connections=1)
        try:
            self._served = ask_server(endpoint, self._client)
            self._runtime = _known_runtime(self._served)
            self._form = self._find_form()
        except BaseException:
            self._client.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up the connections."""
        self._client.close()

    @property
    def runtime(self) -> Runtime:
        """What the server says it is, or the asker; mode "serving"."""
        return self._runtime

    @property
    def vocabulary(self) -> int:
        """Number of token ids to draw prompts from."""
        return self._vocabulary

    @property
    def max_context(self) -> int | None:
        """Most tokens of one sequence as the server says."""
        return self._served.max_context

    @property
    def facts(self) -> dict[str, Fact]:
        """How it was asked, for the environment."""
        form = self._form
        facts: dict[str, Fact] = {f"server_{name}": value for name, value in self._served.headers.items()}
        return facts | {
            "api": self._endpoint.api,
            "prompts": "token ids" if form.ids else "text",
            "ignore_eos": form.ignore_eos,
            "tokens_counted_by": "the server's usage" if form.usage else "pieces of the stream",
            "tokens_added_by_server": form.added_tokens if form.usage else None,
            "variant_identified_by": "the asker: a server does not show its files",
        }

    @contextmanager
    def ready(self, *, concurrency: int, input_tokens: int, context_tokens: int) -> Generator[None]:
        """Have as many connections as there are requests at once; the server looks after the rest."""
        del input_tokens, context_tokens
        before, self._client = self._client, self._endpoint.client(connections=concurrency)
        before.close()
        yield

    def serve(self, requests: Sequence[Request], concurrency: int, deadline: float) -> list[Answer]:
        """Answer the requests, see the protocol."""
        waiting = deque(requests)
        answers: list[Answer] = []
        lock = threading.Lock()

        def work() -> None:
            while time.perf_counter() < deadline:
                with lock:
                    if not waiting:
                        return
                    request = waiting.popleft()
                body = self._body(request)  # made before the clock runs
                answer = self._answer(request, body, cut=deadline + _GRACE_SECONDS)
                with lock:
                    answers.append(answer)

        with ThreadPoolExecutor(concurrency) as threads:
            for future in [threads.submit(work) for _ in range(concurrency)]:
                future.result()
        return answers

    def _answer(self, request: Request, body: bytes, *, cut: float) -> Answer:
        sent = time.perf_counter()
        cut = min(cut, sent + self._endpoint.request_limit_seconds)
        reading = _Reading()
        error: str | None = None
        try:
            self._stream(body, reading, cut)
        except _Refused as refused:
            error = f"HTTP {refused.status}: {refused}"
        except httpx.TimeoutException as late:
            error = f"no answer in time ({type(late).__name__})"
        except httpx.HTTPError as broken:
            error = f"connection: {broken or type(broken).__name__}"
        except BadStream as bad:
            error = f"bad stream: {bad}"
        if error is None and not reading.times:
            error = "the answer has no tokens"
        if error is None and not reading.ended:
            error = "the stream broke off"
        return Answer(
            request=request,
            sent=sent,
            times=tuple(reading.times),
            output_tokens=reading.completion_tokens or len(reading.times),
            input_tokens=reading.prompt_tokens,
            error=error[:_MAX_ERROR] if error else None,
        )

    def _stream(self, body: bytes, reading: _Reading, cut: float) -> None:
        path = "/v1/completions" if self._endpoint.api == "completions" else "/v1/chat/completions"
        headers = {"content-type": "application/json"}
        with self._client.stream("POST", path, content=body, headers=headers) as response:
            if response.status_code != OK:
                raise _Refused(response.status_code, _beginning(response))
            if "text/event-stream" not in response.headers.get("content-type", ""):
                raise BadStream(
                    f"content type `{response.headers.get('content-type', '')}`, not an event stream"
                )
            if response.headers.get("content-encoding", "identity") != "identity":
                raise BadStream("compressed although that was not accepted")
            parser = EventParser()
            for piece in response.iter_raw():
                now = time.perf_counter()
                for data in parser.feed(piece):
                    if reading.take(data, now):
                        return
                if now > cut:
                    raise BadStream("the time for the request was over")

    def _body(self, request: Request, form: _Form | None = None) -> bytes:
        form = form or self._form
        ids = request.prompt[: max(1, len(request.prompt) - form.added_tokens)]
        prompt: Any = [self._first + number for number in ids] if form.ids else self._text(ids)
        body: dict[str, Any] = {
            "model": self._endpoint.model,
            "max_tokens": request.output_tokens,
            "temperature": 0,
            "stream": True,
        }
        if self._endpoint.api == "completions":
            body["prompt"] = prompt
        else:
            body["messages"] = [{"role": "user", "content": prompt}]
        if form.ignore_eos:
            body["ignore_eos"] = True
        if form.usage:
            body["stream_options"] = {"include_usage": True}
        return msgspec.json.encode(body)

    def _text(self, ids: Sequence[int]) -> str:
        if self._texts is None:
            if self._tokenizer is None:
                raise InvalidInput(
                    "variant",
                    "has no tokenizer, and the server takes no token ids",
                    allowed="a folder with the tokenizer's files",
                )
            self._texts = TextPrompts(self._tokenizer)
        return self._texts.text(ids)[0]

    def _find_form(self) -> _Form:
        """Return the richest form of request that the server takes. Raises InvalidInput, Unavailable."""
        shapes = [True, False] if self._endpoint.api == "completions" else [False]
        refusal: _Refused | None = None
        for ids in shapes:
            if not ids and self._tokenizer is None and refusal is not None:
                break
            for ignore_eos, usage in ((True, True), (False, True), (True, False), (False, False)):
                form = _Form(ids=ids, ignore_eos=ignore_eos, usage=usage)
                try:
                    return self._try(form)
                except _Refused as refused:
                    if refused.status in {401, 403}:
                        raise InvalidInput(
                            "endpoint",
                            f"the server refuses us: HTTP {refused.status}",
                            allowed=f"a token in ${self._endpoint.token_variable}",
                        ) from refused
                    refusal = refused
        raise InvalidInput(
            "endpoint",
            f"the server takes no form of request; last: HTTP {refusal.status if refusal else '?'}: {refusal}",
            allowed="an OpenAI-compatible server with streaming",
        )

    def _try(self, form: _Form) -> _Form:
        """Return the form with what the server adds and reports. Raises _Refused when it does not take it."""
        request = Request(prompt=tuple(range(_PROBE_TOKENS)), output_tokens=2)
        reading = _Reading()
        cut = time.perf_counter() + self._endpoint.request_limit_seconds
        body = self._body(request, form)
        try:
            self._stream(body, reading, cut)
        except (httpx.HTTPError, BadStream) as error:
            if reading.failure is not None:
                raise _Refused(OK, reading.failure) from error
            raise Unavailable(
                f"the server at {self._endpoint.root} does not answer: {error or type(error).__name__}"
            ) from error
        counted = reading.prompt_tokens
        added = 0 if counted is None else max(0, counted - self._sent_tokens(request, form))
        return msgspec.structs.replace(form, usage=reading.completion_tokens is not None, added_tokens=added)

    def _sent_tokens(self, request: Request, form: _Form) -> int:
        if form.ids:
            return len(request.prompt)
        assert self._texts is not None
        return self._texts.text(request.prompt)[1]


class _Reading:
    """What one stream has said so far."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.ended = False
        self.failure: str | None = None

    def take(self, data: bytes, now: float) -> bool:
        """Note one event that arrived at `now`; True when it is the last. Raises BadStream when it cannot be read."""
        if data.strip() == b"[DONE]":
            self.ended = True
            return True
        try:
            chunk = msgspec.json.decode(data, type=_Chunk)
        except msgspec.DecodeError as error:
            raise BadStream(f"an event that cannot be read: {error}") from None
        if chunk.error is not None:
            self.failure = str(chunk.error)[:_MAX_ERROR]
            raise BadStream(f"the server reports: {self.failure}")
        if chunk.usage is not None:
            self.prompt_tokens = _count(chunk.usage.prompt_tokens, self.prompt_tokens)
            self.completion_tokens = _count(chunk.usage.completion_tokens, self.completion_tokens)
        for choice in chunk.choices[:1]:
            if _has_token(choice):
                self.times.append(now)
            self.ended = self.ended or choice.finish_reason is not None
        return False


def _known_runtime(served: Served) -> Runtime:
    if served.runtime is None:
        raise InvalidInput(
            "endpoint.runtime", "the server does not say what runs it", allowed="a name, such as vllm"
        )
    return Runtime(name=served.runtime, version=served.version, mode=MODE)


def _has_token(choice: _Choice) -> bool:
    """Return whether a piece stands for new tokens. A token may have no text yet, as part of a character."""
    delta = choice.delta
    if delta is not None:
        return bool(delta.content or delta.reasoning_content or delta.reasoning)
    return bool(choice.text) or (choice.text is not None and choice.finish_reason is None)


def _count(reported: int | None, before: int | None) -> int | None:
    return reported if reported is not None and 0 <= reported < 2**31 else before


def _beginning(response: httpx.Response) -> str:
    content = b""
    for piece in response.iter_raw():
        content += piece
        if len(content) >= _MAX_ERROR:
            break
    return " ".join(content[:_MAX_ERROR].decode("utf-8", errors="replace").split())
