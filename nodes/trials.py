"""The test prompt: a machine counts as ready once one of its models has answered a few words.

One model is asked, not all: loading each would turn out whatever the machine has in memory. The next one's turn comes
only when it fails; then all again, a minute apart, for as long as the machine is connected.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from time import monotonic

from django.db import DatabaseError
from django.utils import timezone

from accounts.errors import OrganizationGone
from common.ids import new_request_id
from nodes.findings import Trial, store_trial
from nodes.models import NodeModel
from nodes.sources import target_of
from nodes.threads import in_thread
from providers.adapters import ADAPTERS
from providers.adapters.base import StreamDecoder
from providers.failures import Kind, UpstreamFailure
from providers.schema import CHAT, EMBEDDINGS, Call, parse
from providers.targets import Target
from providers.transport import Deadlines, Transport, UpstreamResponse

RETRY_S = 60.0
LONGEST_S = 180.0
"""A large model may have to be read from disk first."""

_DEADLINES = Deadlines(first_byte_s=LONGEST_S, first_byte_unary_s=LONGEST_S)
_MOST_BYTES = 4 << 20
_CHAT = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16, "stream": True}
_EMBEDDING = {"input": "hello"}

logger = logging.getLogger(__name__)


class Trials:
    """Of all nodes that this process holds, over the transport by which requests go to them."""

    def __init__(self, transport: Transport, retry_s: float = RETRY_S) -> None:
        self._transport = transport
        self._retry_s = retry_s
        self._running: dict[str, asyncio.Task[None]] = {}

    def begin(self, node: str) -> None:
        """The node's models are known now. Does nothing while its trial is under way, or when one was passed."""
        if node not in self._running:
            task = self._running[node] = asyncio.create_task(self._climb(node))
            task.add_done_callback(lambda _: self._running.pop(node, None))

    def stop(self, node: str) -> None:
        """The node went."""
        if (task := self._running.get(node)) is not None:
            task.cancel()

    async def aclose(self) -> None:
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _climb(self, node: str) -> None:
        try:
            while (target := await in_thread(next_to_try, node)) is not None:
                trial = await try_model(self._transport, target)
                await in_thread(store_trial, node, trial)
                if not trial.ok:
                    logger.info("node %s did not answer its test prompt: %s", node, trial.error)
                    await asyncio.sleep(self._retry_s)
        except (DatabaseError, OrganizationGone):
            logger.exception("the trial of node %s could not be kept", node)


def next_to_try(public_id: str) -> Target | None:
    """The model whose turn it is; None when one has answered, or there is none to ask. For a thread."""
    offered = NodeModel.objects.filter(
        node__public_id=public_id, node__revoked_at=None, advertised=True, present=True
    ).select_related("node__org")
    rows = list(offered.order_by("kind", "pk"))
    if any(row.trial_ok for row in rows):
        return None
    never = timezone.now() - timedelta(days=36_500)
    row = min(rows, key=lambda row: row.trial_at or never, default=None)
    return None if row is None else target_of(row.node, row)


async def try_model(transport: Transport, target: Target) -> Trial:
    """Asks a few words, and measures. Raises nothing that the machine could cause."""
    started = monotonic()
    try:
        async with asyncio.timeout(LONGEST_S):
            return await _asked(transport, target, started)
    except TimeoutError:
        error = f"no answer within {LONGEST_S:.0f} seconds"
    except UpstreamFailure as failure:
        status = f" ({failure.status})" if failure.status else ""
        error = f"{failure.kind.replace('_', ' ')}{status}: {failure.detail}".rstrip(": ")
    return Trial(target.upstream_id, ok=False, error=error)


async def _asked(transport: Transport, target: Target, started: float) -> Trial:
    call, adapter = _call_for(target), ADAPTERS[target.adapter]
    response = await transport.send(target, adapter.request(call, target, None), _DEADLINES)
    try:
        if response.status != 200:
            body = await response.read(_MOST_BYTES)
            raise adapter.error(response.status, response.headers, body)
        if not call.stream:
            adapter.completion(call, await response.read(_MOST_BYTES))
            return Trial(target.upstream_id, ok=True, first_token_ms=_since_ms(started))
        return await _streamed(response, adapter.decoder(call), target, started)
    finally:
        response.close()


async def _streamed(response: UpstreamResponse, decoder: StreamDecoder, target: Target, started: float) -> Trial:
    first_ms, read = None, 0
    while not decoder.done and (chunk := await response.next_chunk()):
        decoder.feed(chunk)
        read += len(chunk)
        if first_ms is None and decoder.committed:
            first_ms = _since_ms(started)
        if read > _MOST_BYTES:
            raise UpstreamFailure(Kind.TOO_LARGE, "a few words were asked for")
    if first_ms is None:
        raise UpstreamFailure(Kind.EMPTY, "a stream without content")
    after_s = (_since_ms(started) - first_ms) / 1000
    tokens = decoder.usage.output_tokens if decoder.usage else 0
    rate = round((tokens - 1) / after_s, 2) if tokens > 1 and after_s > 0 else None
    return Trial(target.upstream_id, ok=True, first_token_ms=first_ms, tokens_per_s=rate)


def _call_for(target: Target) -> Call:
    endpoint, asked = (EMBEDDINGS, _EMBEDDING) if target.kind == "embedding" else (CHAT, _CHAT)
    body = {"model": target.model_id, **asked}
    return parse(endpoint, body, request_id=new_request_id(), body_bytes=100)


def _since_ms(started: float) -> float:
    return round((monotonic() - started) * 1000, 1)
