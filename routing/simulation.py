"""What a route would have done with past requests: who would have answered, for how much, how fast, how often not.

    past requests, in the order of time  →  Simulator.take  →  Report

Nothing is called. What a request met with a target is what it would meet there again; with targets that it did not
meet, what others met there that day counts: how often they failed, and how long they took. Own machines count as
connected and idle, and no drill is on. Pure, but for the chance in the order of equals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from common.errors import ModelNotFound
from common.money import request_cost_nanos
from common.rates import TokenDetails
from nodes.fleet import Fleet, Presence
from providers.endpoints import CHAT, KIND_OF_ENDPOINT
from providers.schema import BYTES_PER_TOKEN, Call
from providers.targets import Target
from providers.transport import Deadlines
from routing.facts import minute_of
from routing.health import Health
from routing.plan_refusals import NOBODY_SERVES
from routing.planner import Planner
from routing.plans import Candidate, Plan
from routing.snapshots import OrgSnapshot

NOW = 0.0
EVER_S = 1e12
OK = "ok"


class Met(msgspec.Struct, frozen=True):
    """One attempt of a past request. `took_ms` is until its first content, or until it failed."""

    target: str
    outcome: str
    took_ms: float


class Past(msgspec.Struct, frozen=True):
    """A request that was. One that was cut short by its caller, or answered from the cache, is none of these."""

    at: datetime
    key_id: str
    endpoint: str
    stream: bool
    failed: bool
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost_nanos: int
    first_token_ms: float | None
    met: tuple[Met, ...]
    token_details: TokenDetails | None = None


class Figures(msgspec.Struct, frozen=True):
    """`failures` are expected ones where chance has a part in them, hence no whole number. Times are of requests that
    were answered; None where none was measured."""

    cost_nanos: int
    failures: float
    first_token_ms: float | None
    first_token_p95_ms: float | None


class Share(msgspec.Struct, frozen=True):
    """How many requests a target answered, and would."""

    target: str
    was: int
    would: int


class Report(msgspec.Struct, frozen=True):
    """`unmeasured` requests would have gone first to a target that nobody met in that time; `rules` counts by the
    number of the rule that decides, 0 for none."""

    requests: int
    was: Figures
    would: Figures
    targets: tuple[Share, ...]
    rules: dict[str, int]
    unmeasured: int


class _Meeting(msgspec.Struct, frozen=True):
    """What a request has to expect: how often it fails in which way, and the milliseconds until its first token and
    until a failure."""

    failures: dict[str, float]
    ok_ms: float
    failed_ms: float


_NOBODY_MET = _Meeting({}, 0.0, 0.0)


class Meetings:
    """What all past requests met at one target, streams and others apart."""

    __slots__ = ("_failed", "_failed_ms", "_ok", "_ok_ms", "_summed")

    def __init__(self) -> None:
        self._ok = 0
        self._failed: Counter[str] = Counter()
        self._ok_ms = self._failed_ms = 0.0
        self._summed: _Meeting | None = None

    def note(self, met: Met) -> None:
        self._summed = None
        if met.outcome == OK:
            self._ok += 1
            self._ok_ms += met.took_ms
        else:
            self._failed[met.outcome] += 1
            self._failed_ms += met.took_ms

    def summed(self) -> _Meeting:
        if self._summed is None:
            failed = self._failed.total()
            met = self._ok + failed
            shares = {way: count / met for way, count in self._failed.items()}
            self._summed = _Meeting(shares, self._ok_ms / max(self._ok, 1), self._failed_ms / max(failed, 1))
        return self._summed


class Evidence:
    """Of all past requests, read before the first of them is planned anew."""

    def __init__(self) -> None:
        self._met: dict[tuple[str, bool], Meetings] = {}
        self._served = self._input_tokens = self._output_tokens = 0

    def note(self, past: Past) -> None:
        for met in past.met:
            key = (met.target, past.stream)
            meetings = self._met.get(key)
            if meetings is None:
                meetings = self._met[key] = Meetings()
            meetings.note(met)
        if not past.failed:
            self._served += 1
            self._input_tokens += past.input_tokens
            self._output_tokens += past.output_tokens

    def of(self, target: str, *, stream: bool) -> Meetings | None:
        return self._met.get((target, stream)) or self._met.get((target, not stream))

    def usual(self, past: Past) -> Past:
        """With the tokens that requests have on average, for one that failed before it had any."""
        if not past.failed or not self._served:
            return past
        return msgspec.structs.replace(
            past,
            input_tokens=past.input_tokens or self._input_tokens // self._served,
            output_tokens=self._output_tokens // self._served,
        )


class _Outcome(msgspec.Struct, frozen=True):
    cost_nanos: float
    failure_share: float
    first_token_ms: float | None
    is_measured: bool


class Simulator:
    """Of one name in one snapshot. `take` each past request once, in the order of time."""

    def __init__(self, name: str, snapshot: OrgSnapshot, evidence: Evidence) -> None:
        self._name = name
        # A drill of this hour says nothing of the requests of a day.
        self._snapshot = msgspec.structs.replace(snapshot, drills={})
        self._evidence = evidence
        self._health = Health()
        self._at = datetime.min
        self._planner = Planner(self._health, Deadlines(), _all_here(snapshot), minute_in=self._minute_in)
        self._ids = {target.name: target.id for target in snapshot.by_name.values()}
        self._requests = self._unmeasured = 0
        self._was, self._would = _Sums(), _Sums()
        self._answered: Counter[str] = Counter()
        self._would_answer: Counter[str] = Counter()
        self._rules: Counter[str] = Counter()

    def take(self, past: Past) -> None:
        self._at = past.at
        self._requests += 1
        self._was.add(past.cost_nanos, 1.0 if past.failed else 0.0, past.first_token_ms)
        if past.met and past.met[-1].outcome == OK:
            self._answered[past.met[-1].target] += 1
        outcome = self._outcome(self._evidence.usual(past))
        self._would.add(outcome.cost_nanos, outcome.failure_share, outcome.first_token_ms)
        self._unmeasured += not outcome.is_measured
        self._learn(past)

    def report(self) -> Report:
        names = sorted({*self._answered, *self._would_answer})
        return Report(
            requests=self._requests,
            was=self._was.figures(),
            would=self._would.figures(),
            targets=tuple(Share(name, self._answered[name], self._would_answer[name]) for name in names),
            rules=dict(sorted(self._rules.items())),
            unmeasured=self._unmeasured,
        )

    def _minute_in(self, time_zone: str) -> int:
        return minute_of(self._at, time_zone)

    def _learn(self, past: Past) -> None:
        """What `fastest` goes by, as it was known at the time."""
        for met in past.met:
            target_id = self._ids.get(met.target)
            if met.outcome == OK and target_id is not None:
                self._health.speed(target_id).note(met.took_ms / 1000, 0, 0)

    def _outcome(self, past: Past) -> _Outcome:
        try:
            plan = self._planner.plan(self._call(past), self._snapshot, NOW, past.key_id)
        except (*NOBODY_SERVES, ModelNotFound):
            return _Outcome(0, 1.0, None, True)
        self._rules[str(plan.rule)] += 1
        self._would_answer[plan.candidates[0].target.name] += 1
        return self._tried(past, plan)

    def _tried(self, past: Past, plan: Plan) -> _Outcome:
        """Attempt by attempt, each as likely as those before it fail, in a way after which it comes."""
        failing: dict[str, float] = {"": 1.0}
        waited_ms = cost_nanos = first_token_ms = answered = 0.0
        left = plan.most_attempts
        for candidate in plan.candidates:
            after = candidate.after
            ways = list(failing) if after is None else [way for way in failing if way in after]
            reached = sum(failing.pop(way) for way in ways)
            if reached == 0:
                continue
            meeting = self._meeting(past, candidate)
            serves = reached * (1 - sum(meeting.failures.values()))
            cost_nanos += serves * _cost(past, candidate.target)
            first_token_ms += serves * (waited_ms + meeting.ok_ms)
            answered += serves
            waited_ms += meeting.failed_ms
            for way, share in meeting.failures.items():
                failing[way] = failing.get(way, 0.0) + reached * share
            left -= 1
            if left == 0 or not failing:
                break
        is_measured = self._evidence.of(plan.candidates[0].target.name, stream=past.stream) is not None
        mean_ms = first_token_ms / answered if answered and is_measured else None
        return _Outcome(cost_nanos, sum(failing.values()), mean_ms, is_measured)

    def _meeting(self, past: Past, candidate: Candidate) -> _Meeting:
        name = candidate.target.name
        for met in past.met:
            if met.target == name:
                return (
                    _Meeting({}, met.took_ms, 0.0)
                    if met.outcome == OK
                    else _Meeting({met.outcome: 1.0}, 0.0, met.took_ms)
                )
        others = self._evidence.of(name, stream=past.stream)
        return _NOBODY_MET if others is None else others.summed()

    def _call(self, past: Past) -> Call:
        return Call(
            request_id="",
            endpoint=past.endpoint if KIND_OF_ENDPOINT.get(past.endpoint, "chat") != "chat" else CHAT,
            body={},
            model=self._name,
            models=(self._name,),
            stream=past.stream,
            include_usage=False,
            max_tokens=None,
            prompt_bytes=past.input_tokens * BYTES_PER_TOKEN,
            requires=frozenset(),
        )


class _Sums:
    def __init__(self) -> None:
        self._cost_nanos = self._failures = 0.0
        self._first_token_ms: list[float] = []

    def add(self, cost_nanos: float, failure_share: float, first_token_ms: float | None) -> None:
        self._cost_nanos += cost_nanos
        self._failures += failure_share
        if first_token_ms is not None:
            self._first_token_ms.append(first_token_ms)

    def figures(self) -> Figures:
        times = sorted(self._first_token_ms)
        mean = sum(times) / len(times) if times else None
        p95 = times[min(len(times) * 95 // 100, len(times) - 1)] if times else None
        return Figures(
            cost_nanos=round(self._cost_nanos),
            failures=round(self._failures, 2),
            first_token_ms=None if mean is None else round(mean, 1),
            first_token_p95_ms=None if p95 is None else round(p95, 1),
        )


def simulate(name: str, snapshot: OrgSnapshot, requests: Sequence[Past]) -> Report:
    """Of what fits into memory."""
    simulator = Simulator(name, snapshot, evidence_of(requests))
    for past in requests:
        simulator.take(past)
    return simulator.report()


def evidence_of(requests: Iterable[Past]) -> Evidence:
    evidence = Evidence()
    for past in requests:
        evidence.note(past)
    return evidence


def _cost(past: Past, target: Target) -> int:
    return 0 if target.price is None else request_cost_nanos(past, target.price)


def _all_here(snapshot: OrgSnapshot) -> Fleet:
    fleet = Fleet()
    for target in snapshot.by_name.values():
        if target.node:
            fleet.note(Presence(target.node), NOW, EVER_S)
    return fleet
