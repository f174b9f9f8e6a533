"""Asks the gateway of this run over HTTP, with nothing imported that takes long."""

from __future__ import annotations

import http.client

from console.embedded.wishes import HOST


def get(port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """
    Raises:
        OSError, http.client.HTTPException: nobody answers.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def not_ready(port: int) -> str | None:
    """None when /health/ready answers 200, else what it did instead."""
    try:
        status, body = get(port, "/health/ready")
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__} at {HOST}:{port}"
    return None if status == 200 else f"/health/ready answers {status}: {body[:300]!r}"
