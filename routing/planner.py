"""From a call and a snapshot to a plan: resolve the name, filter, score, order. Pure, but for what it reads of the
health of targets and of the fleet of own machines, both in memory.

A name is, in this order: a route, a public model that targets serve, or `<connection>/<model>` that pins one, own
machines being `node/<slug>/<model>`.
"""

from __future__ import annotations

import time
from operator import itemgetter

import msgspec

from nodes.fleet import Fleet, Load
from providers.schema import NO_PREFERENCES, Call, Preferences
from providers.targets import OWN, Credential, Target
from providers.transport import Deadlines
from routing.canary_draw import is_canary, unserved, without_canaries
from routing.facts import BudgetUsed, MinuteIn, facts_of, minute_now, nothing_used
from routing.fallbacks import fallen_back_to, in_tier, within_reach
from routing.filters import EJECTED, Filter, filters_for, reject_place, unusable_keys
from routing.health import Health, weighted_key
from routing.plan_refusals import nobody_serves, not_found
from routing.plans import MOST_ATTEMPTS, Candidate, Plan, Rejected
from routing.resolving import Wanted, wanted_by
from routing.scorers import SCORERS, FairShares, RoundRobin
from routing.snapshots import OrgSnapshot, RouteRecord, SpillOver

MOST_PRIORITY = 1e6
"""Where a route says “in this order”, the order of its legs counts for more than that of the connections."""


_Ranked = tuple[int, float, float, Candidate]
"""Tier, score, a random tie-break in proportion to the weight, and what is ranked."""


class Planner:
    def __init__(
        self,
        health: Health,
        deadlines: Deadlines,
        fleet: Fleet | None = None,
        budget_used: BudgetUsed = nothing_used,
        minute_in: MinuteIn = minute_now,
    ) -> None:
        self._health = health
        self._deadlines = deadlines
        self._fleet = fleet if fleet is not None else Fleet()
        self._budget_used = budget_used
        self._minute_in = minute_in
        self._turns = RoundRobin()
        self._shares = FairShares()

    def rehearsal(self) -> Planner:
        """One that knows the same and would decide the same, without taking anybody's turn."""
        other = Planner(self._health, self._deadlines, self._fleet, self._budget_used, self._minute_in)
        other._turns, other._shares = self._turns.copy(), self._shares.copy()
        return other

    def plan(self, call: Call, snapshot: OrgSnapshot, now: float, key_id: str = "") -> Plan:
        """The order in which to try.

        Args:
            key_id: the public id of the caller's key, for rules that ask about keys and members.

        Raises:
            ModelNotFound: no name of the call is known; the message names near ones.
            NOBODY_SERVES: known, but nobody may serve it, now or ever; with each one's reason.
        """
        wanted = wanted_by(
            call,
            snapshot,
            lambda route: facts_of(
                call, snapshot, key_id, route.rules, self._budget_used, self._minute_in, route.name
            ),
        )
        if not wanted:
            raise not_found(call, snapshot)
        rejected: list[Rejected] = []
        down = _drills_now(snapshot.drills) if snapshot.drills else snapshot.drills
        candidates: list[Candidate] = []
        for one in wanted:
            if one.fallback is None:
                begin = len(candidates)
                candidates += self._ordered(call, one, rejected, now, down)
            else:
                found = self._ordered(call, one, rejected, now, down)
                candidates += fallen_back_to(one.fallback, found, candidates, begin, rejected)
        if not candidates:
            if (canary := wanted[0].route) is not None and is_canary(canary):
                return unserved(self.plan(call, without_canaries(snapshot), now, key_id), canary)
            raise nobody_serves(call, rejected)
        if len(candidates) > MOST_ATTEMPTS and not call.preferences.order:
            within_reach(candidates, MOST_ATTEMPTS)
        first = wanted[0]
        return Plan(
            route=first.route.name if first.route else "",
            strategy=first.strategy,
            candidates=tuple(candidates),
            rejected=tuple(rejected),
            deadlines=self._deadlines_of(first.route),
            rule=first.rule,
            continues=first.route is not None and first.route.continue_streams,
            hedge=first.route.hedge if first.route is not None else None,
            variant=first.route.variant if first.route else None,
            trace_id=call.trace.id if call.trace is not None else "",
        )

    def _draw_first(self, name: str, kept: list[_Ranked], weights: dict[int, int]) -> None:
        """Puts the one whose share is due before the others of the first tier, which chance has ordered."""
        tier = sorted((entry for entry in kept if entry[0] == kept[0][0]), key=_by_target)
        first = tier[self._shares.drawn(name, [weights[entry[3].target.id] for entry in tier])]
        kept.remove(first)
        kept.insert(0, first)

    def _ranked(
        self,
        call: Call,
        target: Target,
        weight: int,
        tier: int,
        place: int,
        strategy: str,
        keys: tuple[Credential | None, ...],
        now: float,
    ) -> _Ranked:
        if target.node and strategy == "least_busy":
            score = self._load(target, now).busy / max(weight, 1)
        else:
            score = SCORERS[strategy](call, target, weight, self._health)
        if place and strategy == "priority":
            score += place * MOST_PRIORITY
        chance = weight if target.exposure == 1.0 else weight * target.exposure
        return tier, score, weighted_key(chance), Candidate(target, keys, score, tier)

    def _deadlines_of(self, route: RouteRecord | None) -> Deadlines:
        if route is None or route.first_byte_s is None:
            return self._deadlines
        return msgspec.structs.replace(self._deadlines, first_byte_s=route.first_byte_s)

    def _load(self, target: Target, now: float) -> Load:
        return self._fleet.load(target, self._health.speed(target.id).in_flight, now)

    def _reason_against(
        self, call: Call, target: Target, weight: int, wanted: Wanted, filters: tuple[Filter, ...], now: float
    ) -> str | None:
        reason = _rejection(call, target, weight, wanted.place, filters)
        if reason is None and target.node:
            return self._fleet.refusal(target, self._health.speed(target.id).in_flight, now)
        return reason

    def _ordered(
        self, call: Call, wanted: Wanted, rejected: list[Rejected], now: float, down: dict[str, float]
    ) -> list[Candidate]:
        """What may not serve goes to `rejected`. `down` is for how many seconds more a drill holds a name down."""
        strategy, filters = wanted.strategy, filters_for(call)
        kept: list[_Ranked] = []
        ejected: list[tuple[_Ranked, Rejected]] = []
        for target, weight, tier, place in wanted.targets:
            if down and (left_s := _drill_left(down, target)) is not None:
                rejected.append(Rejected(target.name, "drill", left_s))
                continue
            reason = self._reason_against(call, target, weight, wanted, filters, now)
            if reason is not None:
                rejected.append(Rejected(target.name, reason))
                continue
            keys = _usable_keys(target, self._health, now)
            if keys:
                kept.append(self._ranked(call, target, weight, tier, place, strategy, keys, now))
                continue
            reason, until_s = unusable_keys(target, self._health, now)
            refusal = Rejected(target.name, reason, until_s)
            if reason in EJECTED:
                all_keys = target.credentials or (None,)
                ejected.append((self._ranked(call, target, weight, tier, place, strategy, all_keys, now), refusal))
            else:
                rejected.append(refusal)
        if kept:
            rejected += [refusal for _, refusal in ejected]
        else:
            # The last target is never ejected: better to try one that failed than to refuse without trying.
            kept = [ranked for ranked, _ in ejected]
        if len(kept) > 1:
            kept = self._sorted(wanted, kept, now)
        ordered = [entry[3] for entry in kept]
        return ordered if call.preferences is NO_PREFERENCES else self._as_preferred(ordered, call.preferences)

    def _as_preferred(self, candidates: list[Candidate], preferences: Preferences) -> list[Candidate]:
        """Whoever is known to be slower than preferred goes last; what is named first goes first all the same."""
        if preferences.min_throughput is not None or preferences.max_latency_s is not None:
            candidates = sorted(candidates, key=lambda candidate: self._is_slow(candidate.target, preferences))
        return _preferred_first(candidates, preferences.order) if preferences.order else candidates

    def _is_slow(self, target: Target, preferences: Preferences) -> bool:
        speed = self._health.speed(target.id)
        least, most_s = preferences.min_throughput, preferences.max_latency_s
        starts_late = most_s is not None and speed.ttft_s is not None and speed.ttft_s > most_s
        return starts_late or (least is not None and speed.tokens_per_s is not None and speed.tokens_per_s < least)

    def _sorted(self, wanted: Wanted, kept: list[_Ranked], now: float) -> list[_Ranked]:
        if wanted.strategy == "round_robin":
            kept.sort(key=_in_turn)
            first = sum(entry[0] == kept[0][0] for entry in kept)
            turn = self._turns.rotated(wanted.name, first)
            kept = kept[turn:first] + kept[:turn] + kept[first:]
        else:
            kept.sort(key=_order)
        if wanted.strategy == "weighted":
            self._draw_first(wanted.name, kept, {target.id: weight for target, weight, _, _ in wanted.targets})
        spill_over = wanted.route.spill_over if wanted.route else None
        if spill_over is not None:
            ranks = {entry[3].target.id: self._spill_rank(entry[3].target, spill_over, now) for entry in kept}
            kept.sort(key=lambda entry: ranks[entry[3].target.id])
            kept = [(*entry[:3], in_tier(entry[3], ranks[entry[3].target.id])) for entry in kept]
        return kept

    def _spill_rank(self, target: Target, spill_over: SpillOver, now: float) -> int:
        """Own machines go first while they keep the bounds, and last when they do not."""
        if target.place != OWN:
            return 1
        load = self._load(target, now)
        if spill_over.queue_above is not None and load.waiting > spill_over.queue_above:
            return 2
        slow_s, ttft_s = spill_over.first_token_above_s, self._health.speed(target.id).ttft_s
        # An idle machine gets the next request whatever it was like, or nobody would learn that it is fast again.
        is_slow = slow_s is not None and ttft_s is not None and ttft_s > slow_s and load.in_flight > 0
        return 2 if is_slow else 0


def _drills_now(drills: dict[str, float]) -> dict[str, float]:
    """The seconds that are left of each drill which is not over."""
    now_s = time.time()
    return {name: until_s - now_s for name, until_s in drills.items() if until_s > now_s}


def _drill_left(down: dict[str, float], target: Target) -> float | None:
    left = [down[name] for name in (target.name, target.connection_slug) if name in down]
    return max(left, default=None)


_order = itemgetter(0, 1, 2)


def _in_turn(entry: _Ranked) -> tuple[int, float, int]:
    """Without chance: turns are taken in one order only."""
    return entry[0], entry[1], entry[3].target.id


def _by_target(entry: _Ranked) -> int:
    return entry[3].target.id


def _rejection(call: Call, target: Target, weight: int, place: str | None, filters: tuple[Filter, ...]) -> str | None:
    if weight == 0:
        return "weight_zero"
    if place is not None and (reason := reject_place(place, target)) is not None:
        return reason
    for reject in filters:
        if (reason := reject(call, target)) is not None:
            return reason
    if not target.credentials and target.options.get("needs_key"):
        return "no_key"
    return None


def _usable_keys(target: Target, health: Health, now: float) -> tuple[Credential | None, ...]:
    """The keys that may be used now, one drawn first by weight."""
    if len(target.credentials) == 1:
        only = target.credentials[0]
        return target.credentials if health.skipped_until(target.id, only.id, now) is None else ()
    if not target.credentials:
        return (None,) if health.skipped_until(target.id, 0, now) is None else ()
    usable = [key for key in target.credentials if health.skipped_until(target.id, key.id, now) is None]
    return tuple(sorted(usable, key=lambda key: weighted_key(key.weight)))


def _preferred_first(candidates: list[Candidate], order: tuple[str, ...]) -> list[Candidate]:
    rank = {name: index for index, name in enumerate(order)}

    def position(candidate: Candidate) -> int:
        target = candidate.target
        return min(rank.get(target.name, len(rank)), rank.get(target.connection_slug, len(rank)))

    return sorted(candidates, key=position)
