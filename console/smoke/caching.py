"""S43: with a cache policy the second identical prompt costs nothing; without it all is as before.

The policy is of the check's own key, which is the narrowest there is: nobody else's requests are covered by it.
"""

from __future__ import annotations

from time import perf_counter

from accounts.scopes import KEY
from common.ids import new_id
from console.smoke.asking import Answer
from console.smoke.bench import Bench
from console.smoke.report import Fact
from console.smoke.subjects import subjects
from console.smoke.undoing import POLICY, undo_one
from metering.usage import HIT, MISS
from routing.cache_services import put_policy

KEPT_S = 300


def check_cache(bench: Bench) -> None:
    model = subjects(bench, chat_only=True)[0].name
    key = bench.make_key()
    first = bench.ask(model, _prompt(), anew=False)
    bench.require("answered", perf_counter() - first.ms / 1000, first.ok, **_facts(model, first))
    began = perf_counter()
    with bench.making() as made:
        policy = put_policy(bench.organization, bench.actor, scope=KEY, subject=key.public_id, ttl_s=KEPT_S)
        made(POLICY, policy.public_id)
    bench.wait_until_known()
    bench.step("policy_added", began, model=model, seconds=KEPT_S)
    _see_a_hit(bench, model)
    began = perf_counter()
    removed = undo_one(bench.run, bench.actor, POLICY, policy.public_id)
    bench.wait_until_known()
    bench.require("policy_removed", began, removed, model=model)
    last = bench.ask(model, _prompt(), anew=False)
    same = last.ok and bool(last.cache) == bool(first.cache)
    bench.heard(last, model, name="as_before" if same else "not_as_before", ok=same)


def _see_a_hit(bench: Bench, model: str) -> None:
    prompt = _prompt()
    miss = bench.ask(model, prompt, anew=False)
    fits = miss.ok and miss.cache == MISS
    bench.require("cache_miss", perf_counter() - miss.ms / 1000, fits, **_facts(model, miss))
    for name, more in (("cache_hit", {"user": "somebody else"}), ("cache_hit_streamed", {"stream": True})):
        hit = bench.ask(model, prompt, anew=False, **more)
        fits = hit.ok and hit.cache == HIT and not hit.cost_nanos
        facts = _facts(model, hit) | {"saved_nanos": miss.cost_nanos}
        bench.step(name, perf_counter() - hit.ms / 1000, ok=fits, **facts)


def _prompt() -> str:
    """One that nobody has asked before."""
    return f"Reply with the one word: kept ({new_id('smoke')[-8:]})"


def _facts(model: str, answer: Answer) -> dict[str, Fact]:
    facts: dict[str, Fact] = {"model": model, "target": answer.target or "–", "cost_nanos": answer.cost_nanos}
    return facts | {"cache": answer.cache or "–", "status": answer.status, "request": answer.request_id}
