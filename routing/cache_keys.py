"""Which requests may be answered from memory, and which of them ask the same thing. Pure."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec
import orjson

from accounts.authentication import Caller
from providers.endpoints import CHAT, NEVER_SHARED
from providers.schema import Call
from providers.targets import OWN
from routing.cache_rules import CacheRule
from routing.canary_draw import CANARY
from routing.discretion import leaves_nothing
from routing.plans import Plan
from routing.sentences import rendered
from routing.similar import Similar, similar_of
from routing.snapshots import OrgSnapshot

_MOST_DIGITS = 10
MOST_PROMPT_BYTES = 1 << 20
"""Canonical JSON of more would hold up the loop."""

_WITHOUT_MEANING = frozenset(
    (
        "user",
        "safety_identifier",
        "metadata",
        "stream",
        "stream_options",
        "prompt_cache_key",
        "prompt_cache_retention",
    )
)
_ROLES_OF_RESULTS = frozenset(("tool", "function"))


class Freshness(msgspec.Struct, frozen=True, gc=False):
    """What a caller's `Cache-Control` allows. `max_age_s` None takes what the rule keeps."""

    reads: bool = True
    stores: bool = True
    max_age_s: int | None = None


ANY = Freshness()
_NOTHING = Freshness(reads=False, stores=False)
_ANEW = Freshness(reads=False)


class Wanted(msgspec.Struct, frozen=True, gc=False):
    """A request that a rule covers: the key of its entry, the rule, and what its caller allows."""

    digest: bytes
    org_id: int
    rule: CacheRule
    freshness: Freshness
    similar: Similar | None = None
    """Set where a question that means the same may be answered alike."""

    @property
    def oldest_s(self) -> float:
        asked = self.freshness.max_age_s
        return self.rule.ttl_s if asked is None else min(asked, self.rule.ttl_s)


def wanted(call: Call, caller: Caller, plan: Plan, snapshot: OrgSnapshot) -> Wanted | None:
    """None for a call that no rule covers, or that is never answered from memory: it is private, or its caller wants
    it forgotten; it carries results of tools, which are of one moment, or is too large."""
    name = plan.route or call.models[0]
    rule = snapshot.cache.find(plan.route, call.models[0], caller.key_public_id)
    if rule is None or call.endpoint in NEVER_SHARED or call.prompt_bytes > MOST_PROMPT_BYTES or _holds_results(call):
        return None
    if leaves_nothing(call, snapshot.routes):
        return None
    key_id = caller.key_id if rule.per_key else 0
    head: tuple[Any, ...] = (caller.org_id, key_id, call.endpoint, *snapshot.cache.purged(name))
    if plan.variant is not None and plan.variant["version"] == CANARY:
        head = (*head, plan.variant["canary"], plan.rule)
    elif plan.rule:
        head = (*head, plan.route, _use_of(plan, snapshot))
    similar = None
    if rule.semantic is not None:
        stays_home = all(candidate.target.place == OWN for candidate in plan.candidates)
        similar = similar_of((*head, rule.semantic.model), call, caller, canonical, stays_home=stays_home)
    return Wanted(_digest(head, call.body), caller.org_id, rule, freshness_of(call.cache_control), similar)


def _use_of(plan: Plan, snapshot: OrgSnapshot) -> str:
    """What decided who answers: a request to which another rule applies is owed an answer from elsewhere."""
    route = snapshot.routes.get(plan.route)
    return rendered(route.rules[plan.rule - 1]) if route else ""


def freshness_of(cache_control: str) -> Freshness:
    """What is not understood is ignored. Source: RFC 9111, section 5.2.1."""
    if not cache_control:
        return ANY
    found = ANY
    for directive in cache_control.lower().split(","):
        name, _, value = directive.strip().partition("=")
        seconds = value.strip().strip('"')
        if name == "no-store":
            return _NOTHING
        seconds = seconds[:_MOST_DIGITS]  # as long as anything lives anyway, and no number too long to read
        if name == "no-cache" or (name == "max-age" and seconds.isdecimal() and int(seconds) == 0):
            found = _ANEW
        elif name == "max-age" and seconds.isdecimal() and found.reads:
            found = Freshness(max_age_s=int(seconds))
    return found


def canonical(body: dict[str, Any]) -> bytes:
    """What is asked, written in one way: two bodies that ask the same give the same bytes."""
    asked = {name: value for name, value in body.items() if name not in _WITHOUT_MEANING}
    return orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)


def _digest(head: tuple[Any, ...], body: dict[str, Any]) -> bytes:
    return blake2b(orjson.dumps(head) + canonical(body), digest_size=24).digest()


def _holds_results(call: Call) -> bool:
    return call.endpoint == CHAT and any(message["role"] in _ROLES_OF_RESULTS for message in call.body["messages"])
