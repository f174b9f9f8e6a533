"""Questions with a known answer, put now and then to machines that serve others.

One of a hundred answered guests is followed by such a question, on the way and in the form of any other. Nobody pays
for it. It shows a machine that answers with anything but a model, and its usage is recounted as a guest's is. Which
model answered it cannot show.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from time import monotonic

import msgspec

from common.ids import new_request_id
from nodes.recount import NO_ANSWER, WRONG_ANSWER, Recount, Recounts, text_of
from providers.adapters import ADAPTERS
from providers.adapters.base import COUNTED, REPORTED, Completion, TokenUsage
from providers.failures import Kind, UpstreamFailure
from providers.schema import CHAT, Call, parse
from providers.targets import Target
from providers.transport import Deadlines, Transport

MOST_AT_ONCE = 4
LONGEST_S = 120.0
MOST_TOKENS = 512
"""A model that thinks aloud first needs some; one that has not finished by then is not judged."""

_MOST_BYTES = 1 << 20
_DEADLINES = Deadlines(first_byte_s=LONGEST_S, first_byte_unary_s=LONGEST_S)
_BUSY = frozenset({Kind.BUSY, Kind.WAITED, Kind.CONNECT, Kind.RATE_LIMITED, Kind.RESET, Kind.INTERRUPTED})
"""No answer for a reason that is none of the model's."""

logger = logging.getLogger(__name__)


class Canary(msgspec.Struct, frozen=True):
    """`answer` is a word, in lower case, that is in any right answer."""

    question: str
    answer: str


CANARIES = (
    Canary("What is the capital of France? Answer with one word.", "paris"),
    Canary("What is the capital of Japan? Answer with one word.", "tokyo"),
    Canary("Which day follows Monday? Answer with one word.", "tuesday"),
    Canary("Write the number seven as a digit, and nothing else.", "7"),
    Canary("What is 2 + 2? Answer with a digit.", "4"),
    Canary("What is the opposite of hot? Answer with one word.", "cold"),
    Canary("Repeat this word and nothing else: elephant", "elephant"),
    Canary("Which colour does grass have? Answer with one word.", "green"),
)


class Canaries:
    """
    Args:
        share: of the answers to guests after which a machine is asked; 0 is never.
        draw: gives numbers in [0, 1), evenly.
    """

    def __init__(
        self,
        transport: Transport,
        recounts: Recounts,
        share: float,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._transport = transport
        self._recounts = recounts
        self._share = share
        self._draw = draw
        self._asking: dict[str, asyncio.Task[None]] = {}

    def note(self, target: Target) -> None:
        """Asks one machine one question at a time."""
        if target.kind != "chat" or self._draw() >= self._share:
            return
        if target.node in self._asking or len(self._asking) >= MOST_AT_ONCE:
            return
        canary = CANARIES[int(self._draw() * len(CANARIES))]
        task = self._asking[target.node] = asyncio.get_running_loop().create_task(self._ask(target, canary))
        task.add_done_callback(lambda _: self._asking.pop(target.node, None))

    async def aclose(self) -> None:
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _ask(self, target: Target, canary: Canary) -> None:
        call, began = _call_for(target, canary), monotonic()
        try:
            async with asyncio.timeout(LONGEST_S):
                completion = await self._answer(call, target)
        except TimeoutError:
            await self._fell_short(call, target, NO_ANSWER)
        except UpstreamFailure as failure:
            if failure.kind not in _BUSY:
                await self._fell_short(call, target, NO_ANSWER)
        else:
            said, words = completion.usage, text_of(completion.body)
            if said is not None and said.source == REPORTED:
                await self._recounts.judge(call, target, said, words, monotonic() - began)
            if completion.finish_reason != "length" and canary.answer not in words.lower():
                await self._fell_short(call, target, WRONG_ANSWER)

    async def _answer(self, call: Call, target: Target) -> Completion:
        adapter = ADAPTERS[target.adapter]
        response = await self._transport.send(target, adapter.request(call, target, None), _DEADLINES)
        try:
            body = await response.read(_MOST_BYTES)
            if response.status != 200:
                raise adapter.error(response.status, response.headers, body)
            return adapter.completion(call, body)
        finally:
            response.close()

    async def _fell_short(self, call: Call, target: Target, how: str) -> None:
        logger.info("node %s: %s to a canary", target.node, how.replace("_", " "))
        nothing = TokenUsage(source=COUNTED)
        await self._recounts.keep(Recount(call.request_id, target.id, nothing, nothing, 0, 0), [how])


def _call_for(target: Target, canary: Canary) -> Call:
    message = {"role": "user", "content": canary.question}
    body = {"model": target.model_id, "messages": [message], "max_tokens": MOST_TOKENS}
    return parse(CHAT, body, request_id=new_request_id(), body_bytes=len(canary.question) + 100)
