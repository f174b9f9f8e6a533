"""What is asked again byte for byte, with the same key and under the same snapshot, is not read and planned again.

    (key, endpoint, bytes) ──► the call, its route, and the key of its entry in the cache

Only where those alone decide: a request on whose way lies a limit, a budget, a rule, a canary, or a header that means
something, goes the whole way each time. Who asks is authenticated as ever, and rights are part of the snapshot.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol
from weakref import ref

import msgspec

from accounts.authentication import Caller
from common.tracing import Trace
from providers.schema import Call
from routing.asked import Asked
from routing.cache import Cache
from routing.cache_keys import Wanted
from routing.failover import Trail
from routing.flights import Flight
from routing.plans import Plan
from routing.prompts import Fingerprint
from routing.replies import Reply
from routing.settlement import Append, Settlement
from routing.snapshots import OrgSnapshot, Snapshots

MOST_REPEATS = 1024
MOST_BODY_BYTES = 4096
"""Of longer ones, reading is a small part of what answering costs; their calls have no `payload`."""


class Request(Protocol):
    """What is read of a request before its body is."""

    payload: bytes
    flight: Flight
    request_id: str

    @property
    def sdk_retry(self) -> int: ...

    @property
    def user_agent(self) -> str: ...

    @property
    def trace(self) -> Trace | None: ...


class _Known(msgspec.Struct, frozen=True):
    snapshot: ref[OrgSnapshot]
    """Not held: an organisation's old snapshots should go with its last request."""
    call: Call
    plan: Plan
    wanted: Wanted


class Repeats:
    """Of one process: the `most` small requests answered last from memory."""

    def __init__(
        self,
        snapshots: Snapshots,
        cache: Cache,
        append: Append,
        clock: Callable[[], float],
        can_record: Callable[[], bool],
        fingerprint: Fingerprint | None = None,
        most: int = MOST_REPEATS,
    ) -> None:
        self._snapshots = snapshots
        self._cache = cache
        self._append = append
        self._clock = clock
        self._can_record = can_record
        self._fingerprint = fingerprint
        self._most = most
        self._known: OrderedDict[tuple[int, str, bytes], _Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def note(self, call: Call, caller: Caller, snapshot: OrgSnapshot, plan: Plan, wanted: Wanted) -> None:
        """A request was answered from memory: the next one like it may be by `reply`."""
        if not 0 < len(call.payload) <= MOST_BODY_BYTES or not _decided_by_bytes(call, caller, snapshot, plan):
            return
        # What else a plan holds is of the moment, and refers to the snapshot.
        lasting = Plan(plan.route, plan.strategy, (), (), plan.deadlines)
        known = _Known(ref(snapshot), msgspec.structs.replace(call, headers=()), lasting, wanted)
        self._known[caller.key_id, call.endpoint, call.payload] = known
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def reply(self, endpoint: str, request: Request, caller: Caller) -> Reply | None:
        """The answer from memory, recorded; None for whatever has to go the whole way.

        Args:
            request: of at most MOST_BODY_BYTES, for its bytes are hashed here, on the loop.

        Raises:
            TemporarilyUnavailable: as the snapshots do.
        """
        place = (caller.key_id, endpoint, request.payload)
        known = self._known.get(place)
        if known is None:
            return None
        if known.snapshot() is not self._snapshots.get(caller.org_id):
            del self._known[place]
            return None
        if not self._can_record():
            return None
        call = msgspec.structs.replace(
            known.call,
            request_id=request.request_id,
            sdk_retry=request.sdk_retry,
            user_agent=request.user_agent,
            trace=request.trace,
        )
        trail = Trail(request.flight.started)
        settlement = Settlement(call, caller, trail, self._append, self._clock, self._fingerprint)
        settlement.plan = known.plan
        reply = self._cache.reply(known.wanted, Asked(call, known.plan, trail, settlement, request.flight))
        if reply is None:
            del self._known[place]
        else:
            self._known.move_to_end(place)
        return reply


def _decided_by_bytes(call: Call, caller: Caller, snapshot: OrgSnapshot, plan: Plan) -> bool:
    """Whether nothing of the moment and no header had a say."""
    if snapshot.limits is not None or snapshot.budgets is not None or caller.logs_content:
        return False
    if call.wants_trace or call.cache_control:
        return False
    routes = [route for name in call.models if (route := snapshot.routes.get(name)) is not None]
    return not any(route.rules or route.canary is not None for route in routes) and plan.variant is None
