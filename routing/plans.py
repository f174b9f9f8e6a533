"""The values of planning: who could serve a call, who may not and why, in which order, until when."""

from __future__ import annotations

import msgspec

from providers.failures import Kind
from providers.targets import Credential, Target
from providers.transport import Deadlines

MOST_ATTEMPTS = 3


class Candidate(msgspec.Struct, frozen=True):
    """A target with the keys that may be tried on it now, best first, and its score (lower is better).

    `after` are the failures after which it may be tried, None for any.
    """

    target: Target
    credentials: tuple[Credential | None, ...]
    score: float = 0.0
    tier: int = 0
    after: frozenset[Kind] | None = None


class Rejected(msgspec.Struct, frozen=True):
    """A target that may not serve this call. `until_s` is when that could change, as seconds from now."""

    target: str
    reason: str
    until_s: float | None = None


class Hedge(msgspec.Struct, frozen=True):
    """When a second target is asked besides the first, and within which bounds.

    Attributes:
        after_s: the wait for the first content; None for the 95th percentile of the first target's.
        most_percent: of the route's streams that are hedged at most.
        most_extra_nanos: nano-USD that the prompt may cost at most, at either target.
    """

    after_s: float | None
    most_percent: int
    most_extra_nanos: int


class Plan(msgspec.Struct, frozen=True):
    """Ordered candidates and the refused ones, how often to try, and the deadlines of each try.

    `rule` is the number of the route's rule that decided, 0 for none; `continues`: a stream that breaks off may go on
    at another target; `variant` tells which version of the route this is, while a canary runs; `trace_id`
    is that of the caller's own trace, "" without one.
    """

    route: str
    strategy: str
    candidates: tuple[Candidate, ...]
    rejected: tuple[Rejected, ...]
    deadlines: Deadlines = Deadlines()
    most_attempts: int = MOST_ATTEMPTS
    rule: int = 0
    continues: bool = False
    hedge: Hedge | None = None
    variant: dict[str, str] | None = None
    trace_id: str = ""
