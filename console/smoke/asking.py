"""Calls of `/v1` as any application makes them: over HTTP, with a key."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from time import perf_counter
from typing import Any
from urllib.parse import unquote

import httpx
import msgspec
import orjson

from common.money import nanos_from_usd
from providers.endpoints import CHAT, made_up

TIMEOUT_S = 60.0
ANEW = {"Cache-Control": "no-store"}


class Answer(msgspec.Struct, frozen=True):
    """`status` 0 is no answer at all. `cache` is empty where no rule keeps answers."""

    status: int
    ms: int
    code: str = ""
    message: str = ""
    scope: str = ""
    target: str = ""
    attempts: int = 0
    cost_nanos: int = 0
    cache: str = ""
    request_id: str = ""
    retry_after: str = ""
    should_retry: str = ""
    candidates: tuple[str, ...] = ()
    rejected: tuple[tuple[str, str], ...] = ()

    @property
    def ok(self) -> bool:
        return self.status == 200


class Gateway:
    """Of one key. Close it."""

    def __init__(self, base_url: str, key: str) -> None:
        headers = {"Authorization": f"Bearer {key}", "User-Agent": "ShareAI smoke test"}
        self._client = httpx.Client(base_url=f"{base_url}/v1/", headers=headers, timeout=TIMEOUT_S)

    def close(self) -> None:
        self._client.close()

    def ask(
        self, body: Mapping[str, Any], *, endpoint: str = CHAT, anew: bool = True, traced: bool = False
    ) -> Answer:
        """
        Args:
            anew: never from the cache, and not kept there.
            traced: with `candidates` and `rejected`.

        Fails: closed, with an answer of status 0 and the code `unreachable`.
        """
        headers = (ANEW if anew else {}) | ({"X-ShareAI-Metadata": "enabled"} if traced else {})
        began = perf_counter()
        try:
            response = self._client.post(endpoint, json=body, headers=headers)
        except httpx.HTTPError as error:
            return Answer(0, _ms_since(began), code="unreachable", message=type(error).__name__)
        return _answer_of(response, _ms_since(began))


def body_for(model: str, prompt: str, endpoint: str = CHAT, max_tokens: int = 32) -> dict[str, Any]:
    if endpoint != CHAT:
        return {"model": model, **made_up(endpoint, prompt)}
    return {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": max_tokens}


def _answer_of(response: httpx.Response, ms: int) -> Answer:
    headers, said = response.headers, _json_of(response)
    error, trace = said.get("error") or {}, said.get("shareai") or {}
    return Answer(
        status=response.status_code,
        ms=ms,
        code=str(error.get("code") or ""),
        message=str(error.get("message") or "")[:300],
        scope=str((error.get("metadata") or {}).get("scope") or ""),
        target=unquote(headers.get("x-shareai-target", "")),
        attempts=int(headers.get("x-shareai-attempts", 0)),
        cost_nanos=nanos_from_usd(Decimal(headers.get("x-shareai-cost", "0"))),
        cache=headers.get("x-shareai-cache", ""),
        request_id=headers.get("x-request-id", ""),
        retry_after=headers.get("retry-after", ""),
        should_retry=headers.get("x-should-retry", ""),
        candidates=tuple(trace.get("candidates") or ()),
        rejected=tuple((each["target"], each["reason"]) for each in trace.get("rejected") or ()),
    )


def _json_of(response: httpx.Response) -> dict[str, Any]:
    """Empty for a stream, and for what a proxy in between says in its own words."""
    if not response.headers.get("content-type", "").startswith("application/json"):
        return {}
    try:
        said = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def _ms_since(began: float) -> int:
    return round((perf_counter() - began) * 1000)
