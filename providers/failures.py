"""How an attempt can fail, and what each failure means for the loop that retries.

    UpstreamFailure(kind, status, detail, retry_after_s)

`detail` is for the trace and the log of the organisation; it never carries an upstream's own text of a 5xx,
which may leak keys and addresses. Classification stands here, apart from the loop.
"""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    REFUSED_EGRESS = "egress_refused"
    DNS = "dns_failure"
    CONNECT = "connect_failure"
    TLS = "tls_failure"
    RESET = "connection_lost"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    DEADLINE = "deadline"
    SERVER_ERROR = "server_error"
    RATE_LIMITED = "rate_limited"
    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "model_missing_upstream"
    REJECTED = "rejected_request"
    REDIRECT = "redirect_refused"
    MALFORMED = "malformed_answer"
    ERROR_IN_BODY = "error_in_200"
    EMPTY = "empty_answer"
    TOO_LARGE = "answer_too_large"
    INTERRUPTED = "interrupted"
    BUSY = "machine_busy"
    WAITED = "waited_too_long"


class Step(StrEnum):
    """What the failover loop does next."""

    NEXT_TARGET = "next_target"
    NEXT_KEY = "next_key"
    GIVE_BACK = "give_back"


_STEPS = {Kind.UNAUTHORIZED: Step.NEXT_KEY, Kind.REJECTED: Step.GIVE_BACK}

TIMEOUTS = frozenset({Kind.FIRST_BYTE_TIMEOUT, Kind.IDLE_TIMEOUT, Kind.DEADLINE, Kind.WAITED})

NO_EVIDENCE = frozenset({Kind.BUSY, Kind.WAITED})
"""A healthy machine had no slot free: nothing was asked of it, so nothing was learnt about it."""


class UpstreamFailure(Exception):
    """One attempt failed before its answer was right and whole.

    `body` is set only for REJECTED: the caller's own mistake, told by the upstream in OpenAI's form.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        body: bytes | None = None,
    ) -> None:
        super().__init__(f"{kind}: {detail}" if detail else str(kind))
        self.kind = kind
        self.detail = detail
        self.status = status
        self.retry_after_s = retry_after_s
        self.body = body

    @property
    def step(self) -> Step:
        return _STEPS.get(self.kind, Step.NEXT_TARGET)


def kind_of_status(status: int) -> Kind:
    """The kind behind an HTTP status other than 200."""
    if status in (401, 403):
        return Kind.UNAUTHORIZED
    if status in (402, 429):
        return Kind.RATE_LIMITED
    if status == 404:
        return Kind.NOT_FOUND
    if status == 408 or status >= 500:
        return Kind.SERVER_ERROR
    if 300 <= status < 400:
        return Kind.REDIRECT
    return Kind.REJECTED
