"""Values for tests of the planner: short to write, right by default."""

from __future__ import annotations

from itertools import count

from accounts.authentication import Caller
from providers.schema import CHAT, Call, parse
from providers.targets import Credential, Price, Target
from routing.snapshots import OrgSnapshot, RouteRecord, snapshot_of

_ids = count(1)

CALLER = Caller(1, 1, "k" * 12, 1, frozenset({"inference"}), None)


def target(slug: str, model: str = "m", **wishes) -> Target:
    number = next(_ids)
    wishes.setdefault("credentials", (Credential(number, f"ckey_{number}", ()),))
    wishes.setdefault("price", Price(1_000_000_000, 2_000_000_000))
    return Target(
        id=number,
        name=f"{slug}/{model}",
        org_id=1,
        connection_id=number,
        connection_slug=slug,
        connection_name=slug.title(),
        model_id=model,
        upstream_id=model,
        adapter="openai",
        transport=wishes.pop("transport", "direct"),
        base_url=f"https://{slug}.example/v1",
        **wishes,
    )


def snapshot(*targets: Target, routes: tuple[RouteRecord, ...] = (), strategy: str = "priority") -> OrgSnapshot:
    return snapshot_of(
        org_id=1,
        slug="acme",
        version=1,
        default_strategy=strategy,
        keys=(),
        targets=targets,
        routes=routes,
    )


def call(model: str = "m", **body) -> Call:
    wishes = {"model": model, "messages": [{"role": "user", "content": "hi"}]} | body
    return parse(CHAT, wishes, request_id="req_1", body_bytes=body.pop("size", 400))
