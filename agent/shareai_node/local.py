"""HTTP to the model servers of this machine: no proxy of the environment, no redirect, no cookie, bounded answers."""

from __future__ import annotations

import json
from typing import Any

import httpx

from shareai_node.config import Server
from shareai_node.console import USER_AGENT, tls_context

LOOK_WITHIN_S = 0.3
"""For a port where perhaps nothing listens. Loopback answers or refuses at once; a firewalled address does neither."""

_ANSWER_WITHIN_S = 3.0
_LARGEST_ANSWER_BYTES = 8 << 20


class NotJson(Exception):
    """It answered with something that is no JSON, or no end."""


def local_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        trust_env=False,
        follow_redirects=False,
        verify=tls_context(),
        timeout=httpx.Timeout(_ANSWER_WITHIN_S, connect=LOOK_WITHIN_S),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=16, keepalive_expiry=15),
        headers={"user-agent": USER_AGENT, "accept-encoding": "identity"},
    )


def bearer(server: Server) -> dict[str, str]:
    return {} if server.key is None else {"authorization": f"Bearer {server.key}"}


async def fetch(
    http: httpx.AsyncClient, server: Server, path: str, *, body: object = None, timeout_s: float | None = None
) -> tuple[int, Any]:
    """Status and JSON of an answer.

    Args: body: posted as JSON; None: GET.
    Raises: httpx.HTTPError; NotJson.
    """
    request = http.build_request(
        "GET" if body is None else "POST",
        server.base_url + path,
        json=body,
        headers=bearer(server),
        timeout=httpx.USE_CLIENT_DEFAULT if timeout_s is None else httpx.Timeout(timeout_s, connect=LOOK_WITHIN_S),
    )
    answer = await http.send(request, stream=True)
    try:
        data = await _bounded(answer)
    finally:
        await answer.aclose()
    try:
        return answer.status_code, json.loads(data)
    except ValueError:
        raise NotJson(f"{path} answered no JSON") from None


async def fetch_text(http: httpx.AsyncClient, server: Server, path: str) -> str | None:
    """None: it does not say."""
    try:
        answer = await http.send(
            http.build_request("GET", server.base_url + path, headers=bearer(server)), stream=True
        )
        try:
            data = await _bounded(answer)
        finally:
            await answer.aclose()
    except (httpx.HTTPError, NotJson):
        return None
    return data.decode("utf-8", "replace") if answer.status_code == 200 else None


async def _bounded(answer: httpx.Response) -> bytes:
    data = bytearray()
    async for part in answer.aiter_raw():
        data += part
        if len(data) > _LARGEST_ANSWER_BYTES:
            raise NotJson("the answer does not end")
    return bytes(data)
