"""What every error of the API must be."""

from __future__ import annotations

from typing import Any, Protocol


class Answer(Protocol):
    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Any: ...
    @property
    def text(self) -> str: ...
    def json(self) -> Any: ...


def problem(answer: Answer, *, status: int | None = None, code: str | None = None) -> dict[str, Any]:
    """Return the problem details of `answer`, checked for what all of them have in common."""
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:500])
    assert answer.headers["content-type"] == "application/problem+json", answer.text[:500]
    document: dict[str, Any] = answer.json()
    assert document["status"] == answer.status_code
    assert document["type"] == f"urn:variant-planner:problem:{document['code']}"
    assert document["title"]
    assert document["detail"]
    assert "Traceback" not in answer.text
    if status is not None:
        assert answer.status_code == status, document
    if code is not None:
        assert document["code"] == code
    return document
