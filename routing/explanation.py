"""What the planner would do with a call, told in full: who is kept, in which order, who is not, and why.

Nothing is sent anywhere and nobody's turn is taken. Pure, like the planner, and as quick.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from common.errors import InvalidRequest, ShareAIError
from common.money import NANOS_PER_USD, usd_text
from providers.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, ENDPOINT_OF_KIND, KINDS, made_up
from providers.prefill import can_go_on
from providers.schema import BYTES_PER_TOKEN, Call, parse
from routing.canary_draw import without_canaries
from routing.filters import REASONS
from routing.health import Health
from routing.plan_refusals import NOBODY_SERVES
from routing.planner import Planner
from routing.plans import Candidate, Hedge, Plan, Rejected
from routing.scorers import expected_cost_nanos
from routing.snapshots import OrgSnapshot

NO_REQUEST = "req_explained"


class Kept(msgspec.Struct, frozen=True):
    """A target that may serve. `is_within_attempts` is false for those that a call would not live to reach.

    `estimated_cost_usd` is None where no price is known, `first_token_ms` where nothing was measured.
    """

    position: int
    target: str
    provider: str
    place: str
    is_within_attempts: bool
    cost_nanos: int | None
    estimated_cost_usd: str | None
    first_token_ms: float | None
    in_flight: int
    simulated: bool
    after: tuple[str, ...] | None = None
    """The failures after which it is tried; None: any."""
    can_go_on: bool = False
    """With a stream that another target broke off."""


class Dropped(msgspec.Struct, frozen=True):
    """A target that may not serve this call. `retry_after_s` is when that could change."""

    target: str
    reason: str
    message: str
    retry_after_s: float | None = None


class Refusal(msgspec.Struct, frozen=True):
    """What the call would be answered if it were made now."""

    status: int
    code: str
    message: str


class HedgeTold(msgspec.Struct, frozen=True):
    """`after_ms` None stands for the 95th percentile of the first target's first token."""

    after_ms: int | None
    most_percent: int
    most_extra_usd: str


class Explanation(msgspec.Struct, frozen=True):
    model: str
    route: str | None
    strategy: str | None
    most_attempts: int
    candidates: tuple[Kept, ...]
    dropped: tuple[Dropped, ...]
    refusal: Refusal | None = None
    rule: int | None = None
    """The number of the rule that decided, from 1; None where none fits or the route has none."""
    continue_streams: bool = False
    hedge: HedgeTold | None = None


def explain(
    planner: Planner, health: Health, call: Call, snapshot: OrgSnapshot, now: float, key_id: str = ""
) -> Explanation:
    """As if the call came with the key of this public id.

    Raises:
        ModelNotFound: as the call itself would be refused.
    """
    try:
        plan = planner.rehearsal().plan(call, without_canaries(snapshot), now, key_id)
    except NOBODY_SERVES as refusal:
        return refused(call, snapshot, refusal)
    return Explanation(
        model=call.model,
        route=plan.route or None,
        strategy=plan.strategy,
        most_attempts=plan.most_attempts,
        candidates=tuple(
            _kept(call, candidate, index, plan, health) for index, candidate in enumerate(plan.candidates)
        ),
        dropped=_once(map(_dropped, plan.rejected)),
        rule=plan.rule or None,
        continue_streams=plan.continues,
        hedge=None if plan.hedge is None else _hedge(plan.hedge),
    )


def imagined(
    body: dict[str, Any],
    body_bytes: int,
    request_id: str = NO_REQUEST,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> Call:
    """The call that this body would be; what it lacks to be one is made up, so that `{"model": …}` is enough.

    `kind` says for which kind of model it is, where its fields do not.

    Raises:
        InvalidRequest: with `param` naming the field.
    """
    kind = body.get("kind")
    if kind is not None:
        endpoint, body = _endpoint_of(kind), {name: value for name, value in body.items() if name != "kind"}
        body = made_up(endpoint) | body
    elif "input" in body:
        endpoint = EMBEDDINGS
    elif "prompt" in body:
        endpoint = COMPLETIONS
    else:
        endpoint, body = CHAT, {"messages": [{"role": "user", "content": ""}]} | body
    return parse(endpoint, body, request_id=request_id, body_bytes=body_bytes, headers=headers)


def _endpoint_of(kind: Any) -> str:
    if not isinstance(kind, str) or kind not in KINDS:
        raise InvalidRequest(f"'kind' must be one of: {', '.join(KINDS)}.", param="kind")
    return ENDPOINT_OF_KIND[kind]


class Marks(msgspec.Struct, frozen=True):
    """What an imagined call carries for rules to ask about."""

    tags: Sequence[str] = ()
    data_class: str = ""
    headers: Mapping[str, str] = {}


def imagined_of_kind(
    model: str,
    kind: str,
    prompt_tokens: int,
    max_tokens: int | None,
    needs: frozenset[str],
    marks: Marks | None = None,
) -> Call:
    """A call of so many tokens for targets that can do so much."""
    body: dict[str, Any] = {"model": model}
    headers: list[tuple[bytes, bytes]] = []
    if marks is not None:
        body["metadata"] = {"tags": ",".join(marks.tags)} | (
            {"data_class": marks.data_class} if marks.data_class else {}
        )
        headers = [(name.lower().encode(), value.encode()) for name, value in marks.headers.items()]
    endpoint = ENDPOINT_OF_KIND[kind]
    body |= made_up(endpoint)
    call = parse(endpoint, body, request_id=NO_REQUEST, body_bytes=prompt_tokens * BYTES_PER_TOKEN, headers=headers)
    return msgspec.structs.replace(call, max_tokens=max_tokens, requires=needs)


def _hedge(hedge: Hedge) -> HedgeTold:
    after_ms = None if hedge.after_s is None else round(hedge.after_s * 1000)
    most_extra_usd = format((Decimal(hedge.most_extra_nanos) / NANOS_PER_USD).normalize(), "f")
    return HedgeTold(after_ms, hedge.most_percent, most_extra_usd)


def _kept(call: Call, candidate: Candidate, index: int, plan: Plan, health: Health) -> Kept:
    target = candidate.target
    speed = health.speed(target.id)
    cost_nanos = None if target.price is None else round(expected_cost_nanos(call, target))
    return Kept(
        position=index + 1,
        target=target.name,
        provider=target.connection_name,
        place=target.place,
        is_within_attempts=index < plan.most_attempts,
        cost_nanos=cost_nanos,
        estimated_cost_usd=None if cost_nanos is None else usd_text(cost_nanos),
        first_token_ms=None if speed.ttft_s is None else round(speed.ttft_s * 1000, 1),
        in_flight=speed.in_flight,
        simulated=target.simulated,
        after=None if candidate.after is None else tuple(sorted(candidate.after)),
        can_go_on=can_go_on(target),
    )


def _dropped(rejected: Rejected) -> Dropped:
    until_s = None if rejected.until_s is None else round(rejected.until_s, 3)
    return Dropped(rejected.target, rejected.reason, f"{rejected.target} {REASONS[rejected.reason]}", until_s)


def _once(dropped: Iterable[Dropped]) -> tuple[Dropped, ...]:
    """One that two legs lead to is told once."""
    return tuple({(one.target, one.reason): one for one in dropped}.values())


def refused(call: Call, snapshot: OrgSnapshot, refusal: ShareAIError) -> Explanation:
    """The explanation of a call that nobody may serve."""
    route = next((name for name in call.models if name in snapshot.routes), None)
    return Explanation(
        model=call.model,
        route=route,
        strategy=snapshot.routes[route].strategy if route else None,
        most_attempts=0,
        candidates=(),
        dropped=_once(Dropped(**one) for one in (refusal.metadata or {}).get("rejected", ())),
        refusal=Refusal(refusal.status, refusal.code, refusal.message),
    )
