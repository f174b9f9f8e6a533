"""CPU of what the route tester does: `python -m bench.routes` explains a call over 50 targets and simulates 100,000.

Without a database: reading the usage rows comes on top of the simulation.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from random import Random

from providers.targets import Credential, Price, Target
from providers.transport import Deadlines
from routing.explanation import explain, imagined_of_kind
from routing.health import Health
from routing.legs import RouteTarget
from routing.planner import Planner
from routing.sentences import parsed
from routing.simulation import Met, Past, simulate
from routing.snapshots import OrgSnapshot, RouteRecord, snapshot_of

EXPLAINED, SIMULATED = 500, 100_000
RULES = (
    'when prompt is over 2000 tokens use cheapest of "t0/m", "t1/m" then on timeout fall back to priority of "t2/m"',
    'when time is from 22:00 to 06:00 use weighted of "t3/m", "t4/m"',
)


def target(number: int) -> Target:
    return Target(
        id=number + 1,
        name=f"t{number}/m",
        org_id=1,
        connection_id=number,
        connection_slug=f"t{number}",
        connection_name=f"T{number}",
        model_id="m",
        upstream_id="m",
        adapter="openai",
        transport="direct",
        base_url="https://t.example/v1",
        credentials=(Credential(number + 1, f"ckey_{number}", ()),),
        price=Price(1_000_000_000 + number, 2_000_000_000),
    )


def snapshot(targets: int, rules: tuple[str, ...] = ()) -> OrgSnapshot:
    made = [target(number) for number in range(targets)]
    legs = tuple(RouteTarget(each.name) for each in made)
    route = RouteRecord("fast", "cheapest", legs, rules=tuple(map(parsed, rules)))
    return snapshot_of(
        org_id=1, slug="acme", version=1, default_strategy="priority", keys=(), targets=made, routes=(route,)
    )


def requests(count: int) -> list[Past]:
    chance, began = Random(1), datetime(2026, 1, 1, tzinfo=UTC)
    return [
        Past(
            at=began + timedelta(seconds=index * 86_400 / count),
            key_id="",
            endpoint="chat/completions",
            stream=True,
            failed=False,
            input_tokens=chance.randint(10, 4000),
            cached_tokens=0,
            output_tokens=200,
            cost_nanos=1000,
            first_token_ms=300.0,
            met=(Met(f"t{chance.randrange(5)}/m", "ok", 300.0),),
        )
        for index in range(count)
    ]


def explain_ms() -> float:
    shot, health = snapshot(50), Health()
    planner = Planner(health, Deadlines())
    call = imagined_of_kind("fast", "chat", 1000, None, frozenset())
    began = time.process_time()
    for _ in range(EXPLAINED):
        explain(planner, health, call, shot, 0.0)
    return (time.process_time() - began) / EXPLAINED * 1000


def simulate_s() -> float:
    shot, past = snapshot(5, RULES), requests(SIMULATED)
    began = time.process_time()
    simulate("fast", shot, past)
    return time.process_time() - began


if __name__ == "__main__":
    print(f"explain over 50 targets: {explain_ms():.2f} ms CPU")
    print(f"simulate {SIMULATED:,} requests: {simulate_s():.2f} s CPU")
