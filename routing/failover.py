"""The one loop that retries. It tries candidates in order until one answers, and learns from each that does not.

It ends for ever at the commit point: a stream is handed on once its first content has been seen, and from then
on a failure is told to the caller instead of hidden.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from time import monotonic

import msgspec

from common.errors import (
    BadUpstreamResponse,
    CodedError,
    FirstTokenTimeout,
    ProviderUnavailable,
    ShareAIError,
    UpstreamTimeout,
)
from common.tracing import TRACEPARENT
from metering.usage import AttemptRecord, AttemptUsage
from providers.adapters import ADAPTERS
from providers.adapters.base import Adapter, Completion, StreamDecoder
from providers.failures import NO_EVIDENCE, TIMEOUTS, Kind, Step, UpstreamFailure
from providers.schema import Call
from providers.targets import GUEST, Credential, Target
from providers.transport import Deadlines, Transport, UpstreamResponse
from routing.flights import Flight
from routing.health import Health, Speed
from routing.plans import Candidate, Plan

MAX_ANSWER_BYTES = 64 * 1024 * 1024
LARGE_BYTES = 1 << 20
"""A longer answer, of pictures mostly, is read in a thread: it takes milliseconds, which others would wait."""
MAX_ERROR_BYTES = 64 * 1024
MAX_UNCOMMITTED_BYTES = 1 << 20
LEAST_CONCURRENT_RETRIES = 64
RETRY_SHARE = 0.2

Enter = Callable[[Target], Awaitable[bool]]


class RejectedUpstream(Exception):
    """The upstream refused the request itself; its explanation is the caller's to read."""

    def __init__(self, status: int, body: bytes | None) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.body = body


class Trail:
    """What one request has tried so far, in order. Times are monotonic."""

    __slots__ = ("attempts", "started", "upstream_s")

    def __init__(self, started: float) -> None:
        self.started = started
        self.attempts: list[AttemptRecord] = []
        self.upstream_s = 0.0

    def note(self, attempt: Attempt, outcome: str, now: float, status: int | None = None, detail: str = "") -> None:
        self.attempts.append(self.record_of(attempt, outcome, now, status, detail))

    def tell_used(self, attempt: Attempt, used: AttemptUsage) -> None:
        """Of an attempt that was noted: what of the request's usage was its own. Each target is tried once."""
        at = max(at for at, noted in enumerate(self.attempts) if noted.target_id == attempt.target.id)
        self.attempts[at] = msgspec.structs.replace(self.attempts[at], used=used)

    def record_of(
        self, attempt: Attempt, outcome: str, now: float, status: int | None = None, detail: str = ""
    ) -> AttemptRecord:
        return AttemptRecord(
            target=attempt.target.name,
            target_id=attempt.target.id,
            credential=attempt.credential.public_id if attempt.credential else "",
            outcome=outcome,
            status=status,
            started_ms=round((attempt.started - self.started) * 1000),
            duration_ms=round((now - attempt.started) * 1000),
            ttft_ms=None if attempt.ttft_s is None else round(attempt.ttft_s * 1000),
            detail=detail,
        )


class Attempt:
    """One try at one target with one key. `close` says that it no longer keeps the target busy."""

    __slots__ = ("_open", "credential", "speed", "started", "target", "ttft_s")

    def __init__(self, target: Target, credential: Credential | None, speed: Speed, started: float) -> None:
        self.target = target
        self.credential = credential
        self.speed = speed
        self.started = started
        self.ttft_s: float | None = None
        self._open = True
        speed.in_flight += 1

    @property
    def credential_id(self) -> int:
        return self.credential.id if self.credential else 0

    def close(self) -> None:
        if self._open:
            self._open = False
            self.speed.in_flight -= 1


class Answered(msgspec.Struct, frozen=True):
    """A whole answer and the attempt that brought it."""

    attempt: Attempt
    completion: Completion


class OpenedStream(msgspec.Struct, frozen=True):
    """A stream at its commit point: `first` is to be sent, the rest is in `response` through `decoder`."""

    attempt: Attempt
    response: UpstreamResponse
    decoder: StreamDecoder
    first: bytes


class RetryBudget:
    """Bounds the retries in flight to a share of all requests, so that an outage is not answered by a storm."""

    def __init__(self, in_flight: Callable[[], int]) -> None:
        self._in_flight = in_flight
        self._retrying = 0

    def take(self) -> bool:
        if self._retrying >= max(LEAST_CONCURRENT_RETRIES, RETRY_SHARE * self._in_flight()):
            return False
        self._retrying += 1
        return True

    def give_back(self) -> None:
        self._retrying -= 1


class Failover:
    """`on_refused_key` is told of a credential that the upstream no longer accepts."""

    def __init__(
        self,
        transports: Mapping[str, Transport],
        health: Health,
        budget: RetryBudget,
        on_refused_key: Callable[[Target, Credential], None],
    ) -> None:
        self._transports = transports
        self._health = health
        self._budget = budget
        self._on_refused_key = on_refused_key

    async def run(
        self,
        call: Call,
        plan: Plan,
        trail: Trail,
        flight: Flight,
        enter: Enter | None = None,
        after: UpstreamFailure | None = None,
        candidates: Iterator[Candidate] | None = None,
    ) -> Answered | OpenedStream:
        """The first good answer.

        Args:
            enter: whether a candidate after the first has room for the request within its limits.
            after: the failure that is to be made good, so that all of this is a retry.
            candidates: in the place of the plan's, where several take from the same ones; there is at least one.

        Raises:
            RejectedUpstream: the request itself is at fault.
            ShareAIError: every candidate failed, or the budget for retries is spent.
        """
        failure = after
        retrying = False
        left = plan.most_attempts
        try:
            for candidate in candidates or plan.candidates:
                if candidate.after is not None and failure is not None and failure.kind not in candidate.after:
                    continue
                if left == 0:
                    break
                left -= 1
                if failure is not None and not retrying:
                    retrying = self._budget.take()
                    if not retrying:
                        break
                if failure is not None and enter is not None and not await enter(candidate.target):
                    continue
                for credential in candidate.credentials:
                    try:
                        return await self._attempt(call, candidate.target, credential, plan.deadlines, trail, flight)
                    except UpstreamFailure as error:
                        failure = error
                    if failure.step is not Step.NEXT_KEY:
                        break
                if failure is not None and failure.step is Step.GIVE_BACK:
                    raise RejectedUpstream(failure.status or 400, failure.body) from failure
        finally:
            if retrying:
                self._budget.give_back()
        assert failure is not None  # a plan has at least one candidate, a candidate one key or None
        raise _final(failure, trail, plan) from failure

    async def _attempt(
        self,
        call: Call,
        target: Target,
        credential: Credential | None,
        deadlines: Deadlines,
        trail: Trail,
        flight: Flight,
    ) -> Answered | OpenedStream:
        attempt = Attempt(target, credential, self._health.speed(target.id), monotonic())
        breaker = self._health.breaker(target.id, attempt.credential_id)
        breaker.take(attempt.started)
        first_byte_s = deadlines.first_byte_s if call.stream else deadlines.first_byte_unary_s
        flight.attempt_by = attempt.started + first_byte_s
        try:
            if call.stream:
                result: Answered | OpenedStream = await self._open(call, attempt, deadlines)
            else:
                result = await self._complete(call, attempt, deadlines)
        except UpstreamFailure as failure:
            self._learn(attempt, failure, trail, monotonic())
            raise
        except asyncio.CancelledError as error:
            now = monotonic()
            if flight.take_late_attempt():
                late = UpstreamFailure(Kind.FIRST_BYTE_TIMEOUT, "no first byte in time")
                self._learn(attempt, late, trail, now)
                raise late from error
            breaker.release()
            trail.upstream_s += now - attempt.started
            trail.note(attempt, "cancelled", now)
            attempt.close()
            raise
        finally:
            flight.attempt_by = None
        now = monotonic()
        trail.upstream_s += now - attempt.started
        attempt.ttft_s = now - attempt.started
        breaker.succeeded(now)
        return result

    async def _complete(self, call: Call, attempt: Attempt, deadlines: Deadlines) -> Answered:
        response, adapter = await self._send(call, attempt, deadlines)
        try:
            body = await response.read(MAX_ANSWER_BYTES)
        finally:
            response.close()
        if len(body) <= LARGE_BYTES:
            return Answered(attempt, adapter.completion(call, body))
        return Answered(attempt, await asyncio.to_thread(adapter.completion, call, body))

    async def _open(self, call: Call, attempt: Attempt, deadlines: Deadlines) -> OpenedStream:
        response, adapter = await self._send(call, attempt, deadlines)
        try:
            # What a machine of others says of its usage is told when it has been counted again.
            is_guest = attempt.target.place == GUEST
            decoder = adapter.decoder(msgspec.structs.replace(call, include_usage=False) if is_guest else call)
            first = await _until_committed(response, decoder)
        except BaseException:
            response.close()
            raise
        return OpenedStream(attempt, response, decoder, first)

    async def _send(self, call: Call, attempt: Attempt, deadlines: Deadlines) -> tuple[UpstreamResponse, Adapter]:
        target = attempt.target
        adapter = ADAPTERS[target.adapter]
        request = adapter.request(call, target, attempt.credential)
        if call.trace is not None:
            headers = (*request.headers, (TRACEPARENT, call.trace.child()))
            request = msgspec.structs.replace(request, headers=headers)
        response = await self._transports[target.transport].send(target, request, deadlines)
        if response.status == 200:
            return response, adapter
        try:
            body = await response.read(MAX_ERROR_BYTES)
        except UpstreamFailure:
            body = b""
        finally:
            response.close()
        raise adapter.error(response.status, response.headers, body)

    def _learn(self, attempt: Attempt, failure: UpstreamFailure, trail: Trail, now: float) -> None:
        """Draws the consequence of a failure for breaker, cooldown and key, and writes it to the trail."""
        target, key_id, health = attempt.target, attempt.credential_id, self._health
        trail.upstream_s += now - attempt.started
        trail.note(attempt, failure.kind, now, failure.status, failure.detail)
        attempt.close()
        breaker = health.breaker(target.id, key_id)
        if failure.kind is Kind.REJECTED:
            breaker.succeeded(now)
        elif failure.kind is Kind.RATE_LIMITED:
            breaker.release()
            health.cool_down(target.id, key_id, now, failure.retry_after_s)
        elif failure.kind in NO_EVIDENCE:
            breaker.release()
        elif failure.kind is Kind.UNAUTHORIZED:
            breaker.release()
            if attempt.credential is not None:
                health.park(target.id, key_id, now)
                self._on_refused_key(target, attempt.credential)
            else:
                breaker.failed(now, failure.kind)
        else:
            breaker.failed(now, failure.kind)


async def _until_committed(response: UpstreamResponse, decoder: StreamDecoder) -> bytes:
    """Reads until the first content; nothing has been sent to the caller before that."""
    held: list[bytes] = []
    held_bytes = 0
    while not decoder.committed:
        chunk = await response.next_chunk()
        if not chunk:
            held.append(decoder.finish())
            if decoder.committed:
                break
            raise UpstreamFailure(Kind.EMPTY, "a stream without content")
        held.append(decoder.feed(chunk))
        held_bytes += len(held[-1])
        if held_bytes > MAX_UNCOMMITTED_BYTES and not decoder.committed:
            raise UpstreamFailure(Kind.TOO_LARGE, f"{MAX_UNCOMMITTED_BYTES} bytes without content")
        if decoder.done and not decoder.committed:
            raise UpstreamFailure(Kind.EMPTY, "a stream without content")
    return b"".join(held)


def _final(failure: UpstreamFailure, trail: Trail, plan: Plan) -> ShareAIError:
    """What the caller is told when no more is tried. It never holds an upstream's own words. Another try makes sense
    only where somebody is left: what failed now is known, and comes later then."""
    tried = [{"target": a.target, "reason": a.outcome, "status": a.status} for a in trail.attempts]
    names = ", ".join(f"{a.target} ({a.outcome.replace('_', ' ')})" for a in trail.attempts)
    asked = {attempt.target_id for attempt in trail.attempts}
    left = sum(
        candidate.target.id not in asked and (candidate.after is None or failure.kind in candidate.after)
        for candidate in plan.candidates
    )
    message = f"Every target that could serve this request failed: {names}."
    if left:
        message = f"Every target that was tried failed: {names}. {left} more could not be tried within this request."
    refusal: type[CodedError] = ProviderUnavailable
    if failure.kind in (Kind.FIRST_BYTE_TIMEOUT, Kind.WAITED):
        refusal = FirstTokenTimeout
    elif failure.kind in TIMEOUTS:
        refusal = UpstreamTimeout
    elif failure.kind in (Kind.MALFORMED, Kind.ERROR_IN_BODY, Kind.EMPTY, Kind.TOO_LARGE):
        refusal = BadUpstreamResponse
    return refusal(message, metadata={"attempts": tried}, should_retry=left > 0)
