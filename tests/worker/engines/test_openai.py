from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from planner.errors import InvalidInput, Unavailable
from tests.worker.engines.openai_server import TOKEN, TOKEN_SECONDS, Server, running
from worker.engines.endpoint import Endpoint
from worker.engines.loading import load_tokenizer
from worker.engines.openai import OpenAIEngine
from worker.engines.requests import Answer, Request
from worker.reference import model_path

pytestmark = pytest.mark.worker


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def tokenizer(server):
    tokenizer = load_tokenizer(model_path())
    server.count = lambda text: len(tokenizer.encode(text, add_special_tokens=False))
    return tokenizer


def _engine(server: Server, model: str, tokenizer=None, **settings) -> OpenAIEngine:
    endpoint = Endpoint(url=server.url, model=model, **{"runtime": "vllm", **settings})
    return OpenAIEngine(endpoint, vocabulary=4096, tokenizer=tokenizer)


def _serve(engine: OpenAIEngine, count: int = 4, *, output: int = 8, concurrency: int = 2) -> list[Answer]:
    requests = [
        Request(prompt=tuple(range(number, number + 20)), output_tokens=output) for number in range(count)
    ]
    with engine, engine.ready(concurrency=concurrency, input_tokens=20, context_tokens=30):
        return engine.serve(requests, concurrency, time.perf_counter() + 60)


def test_every_token_is_timed_when_it_arrives(server):
    answers = _serve(_engine(server, "steady"))
    assert len(answers) == 4
    for answer in answers:
        assert answer.error is None
        assert len(answer.times) == answer.output_tokens == 8
        assert answer.input_tokens == 20  # one of the 20 makes room for the token that the server adds
        assert answer.tpot is not None
        assert answer.tpot >= TOKEN_SECONDS * 0.9
        assert answer.ttft is not None
        assert 0 < answer.ttft < (answer.end_to_end or 0)
    bodies = [body for body in server.bodies if body["max_tokens"] == 8]
    assert len({tuple(body["prompt"]) for body in bodies}) == 4
    assert all(body["ignore_eos"] and body["temperature"] == 0 for body in bodies)
    assert min(min(body["prompt"]) for body in bodies) >= 256


def test_so_many_requests_are_under_way_at_once_as_asked(server):
    start = time.perf_counter()
    answers = _serve(_engine(server, "steady"), 8, output=50, concurrency=8)
    together = time.perf_counter() - start
    assert sum(answer.end_to_end or 0 for answer in answers) > 3 * together


def test_a_server_without_token_ids_gets_texts_of_the_same_length(server, tokenizer):
    engine = _engine(server, "text-only", tokenizer)
    answers = _serve(engine)
    assert engine.facts["prompts"] == "text"
    assert [answer.input_tokens for answer in answers] == [20] * 4
    with pytest.raises(InvalidInput, match="endpoint: the server takes no form"):
        _engine(server, "text-only")


def test_a_server_that_knows_no_extras_is_asked_plainly_and_tokens_are_counted_by_pieces(server):
    engine = _engine(server, "plain")
    answers = _serve(engine)
    assert engine.facts["ignore_eos"] is False
    assert engine.facts["tokens_counted_by"] == "pieces of the stream"
    assert [(answer.output_tokens, answer.input_tokens) for answer in answers] == [(8, None)] * 4


def test_chat_takes_the_template_off_the_prompt(server, tokenizer):
    engine = _engine(server, "chatty", tokenizer, api="chat")
    answers = _serve(engine)
    assert engine.facts["tokens_added_by_server"] == 7
    assert [answer.input_tokens for answer in answers] == [20] * 4
    assert [len(answer.times) for answer in answers] == [8] * 4


def test_an_early_end_shows(server):
    assert [answer.output_tokens for answer in _serve(_engine(server, "early"))] == [4] * 4


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("garbled", "bad stream: an event that cannot be read"),
        ("endless", "bad stream: a line is longer than"),
        ("silent", "no answer in time"),
        ("trickling", "bad stream: the time for the request was over"),
        ("failing", "bad stream: the server reports"),
        ("breaking", "the stream broke off"),
        ("page", "bad stream: content type `text/html`"),
        ("redirect", "HTTP 302"),
    ],
)
def test_a_bad_answer_is_that_requests_error_and_ends_in_time(server, kind, problem):
    engine = _engine(server, kind, silence_limit_seconds=0.5, request_limit_seconds=1.0)
    start = time.perf_counter()
    answers = _serve(engine, 2)
    assert time.perf_counter() - start < 4
    assert [answer.error is not None and answer.error.startswith(problem) for answer in answers] == [
        True,
        True,
    ], answers[0].error


def test_failures_are_counted_and_the_others_go_on(server):
    answers = _serve(_engine(server, "flaky"), 12)
    failed = [answer for answer in answers if answer.error]
    assert {answer.error for answer in failed} == {'HTTP 503: {"error": "busy"}'}
    assert 0 < len(failed) < 12


def test_nothing_is_sent_after_the_deadline(server):
    engine = _engine(server, "steady")
    with engine, engine.ready(concurrency=1, input_tokens=4, context_tokens=8):
        assert engine.serve([Request(prompt=(1, 2), output_tokens=4)], 1, time.perf_counter() - 1) == []


def test_a_token_comes_from_the_environment(server, monkeypatch):
    with pytest.raises(InvalidInput, match=r"HTTP 401; allowed: a token in \$VP_TEST_TOKEN"):
        _engine(server, "locked", token_variable="VP_TEST_TOKEN")
    monkeypatch.setenv("VP_TEST_TOKEN", TOKEN)
    assert all(
        answer.error is None for answer in _serve(_engine(server, "locked", token_variable="VP_TEST_TOKEN"))
    )


def test_what_runs_is_asked_of_the_server_or_of_us(server):
    with pytest.raises(InvalidInput, match=r"endpoint.runtime: the server does not say"):
        _engine(server, "steady", runtime=None)
    pages = {
        "/v1/models": {"data": [{"id": "steady", "owned_by": "vllm", "max_model_len": 512}]},
        "/version": {"version": "0.33.0"},
    }
    server.pages = pages
    try:
        with _engine(server, "steady", runtime=None) as engine:
            assert str(engine.runtime) == "vllm 0.33.0 serving"
            assert engine.max_context == 512
        with pytest.raises(InvalidInput, match="allowed: steady"):
            _engine(server, "other", runtime=None)
        server.pages = {
            "/v1/models": {"data": [{"id": "steady", "owned_by": "llamacpp"}]},
            "/props": {"build_info": "b7000-abc"},
        }
        with _engine(server, "steady", runtime=None) as engine:
            assert str(engine.runtime) == "llama.cpp b7000-abc serving"
        with _engine(server, "steady", runtime="SGLang", runtime_version="0.5") as engine:
            assert str(engine.runtime) == "sglang 0.5 serving"
    finally:
        server.pages = {}


def test_a_server_that_is_not_there_or_takes_nothing_is_said():
    with pytest.raises(Unavailable, match="no server answers"):
        OpenAIEngine(
            Endpoint(url="http://127.0.0.1:9", model="m", runtime="x"), vocabulary=10, tokenizer=None
        )


def test_a_server_that_refuses_every_form_is_said(server):
    with pytest.raises(InvalidInput, match="HTTP 500"):
        _engine(server, "refusing")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "ftp://127.0.0.1"}, "url"),
        ({"url": "http://"}, "url"),
        ({"url": "http://me:secret@127.0.0.1"}, "url"),
        ({"model": ""}, "model"),
        ({"token_variable": "A B"}, "token_variable"),
        ({"devices": 0}, "devices"),
        ({"request_limit_seconds": 0}, "request_limit_seconds"),
        ({"url": "http://gpu.example:8000"}, "device_id"),
    ],
)
def test_a_wrong_endpoint_is_named(change, field):
    with pytest.raises(InvalidInput, match=f"endpoint.{field}"):
        Endpoint(**{"url": "http://127.0.0.1:8000", "model": "m", **change})


def test_the_root_is_found_with_and_without_the_version():
    for url in ("http://127.0.0.1:8000", "http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1/"):
        assert Endpoint(url=url, model="m").root == "http://127.0.0.1:8000"
    assert not Endpoint(url="https://gpu.example", model="m", device_id="gpu:h200").is_local
