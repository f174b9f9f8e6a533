"""S44: a small limit, a small quota and a small budget on the check's own key are kept, and say whose they are."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from accounts.limits import set_key_limits
from accounts.models import ApiKey
from accounts.scopes import KEY
from common.errors import BudgetExceeded, QuotaExceeded, RateLimitExceeded
from console.smoke.answers import READY
from console.smoke.asking import Answer
from console.smoke.bench import Bench
from console.smoke.subjects import subjects
from console.smoke.undoing import KEY_LIMITS, undo_one

PER_MINUTE = 3
MORE = 4


def check_limits(bench: Bench) -> None:
    model = subjects(bench, chat_only=True)[0].name
    key = bench.make_key()
    _limit(bench, key, "limit_set", rpm=PER_MINUTE)
    _see_a_rate_limit(bench, model)
    _limit(bench, key, "quota_set", tpd=1)
    _see_a_quota(bench, model)
    _limit(bench, key, "budget_set", budgets=[{"tokens": 1, "window": "daily"}])
    _see_a_budget(bench, model)
    began = perf_counter()
    lifted = undo_one(bench.run, bench.actor, KEY_LIMITS, key.public_id)
    bench.wait_until_known()
    bench.require("limits_lifted", began, lifted)
    bench.heard(bench.ask(model, READY), model)


def _limit(bench: Bench, key: ApiKey, name: str, **wishes: Any) -> None:
    began = perf_counter()
    with bench.making() as made:
        set_key_limits(key, bench.actor, wishes)
        if [KEY_LIMITS, key.public_id] not in bench.run.undo:
            made(KEY_LIMITS, key.public_id)
    bench.wait_until_known()
    limit = next(iter(wishes.values()))
    bench.step(name, began, limit=limit if isinstance(limit, int) else limit[0]["tokens"])


def _see_a_rate_limit(bench: Bench, model: str) -> None:
    """Exactly as many pass as may. A slow route earns further ones while it answers."""
    began, passed = perf_counter(), 0
    answer = bench.ask(model, READY)
    while answer.ok and passed < PER_MINUTE + MORE + _earned(began):
        passed += 1
        answer = bench.ask(model, READY)
    exact = PER_MINUTE <= passed <= PER_MINUTE + _earned(began)
    right = _is(answer, RateLimitExceeded.CODE) and bool(answer.retry_after)
    bench.require("rate_limited", began, exact and right, passed=passed, limit=PER_MINUTE, **_facts(answer))


def _earned(began: float) -> int:
    return int((perf_counter() - began) * PER_MINUTE / 60)


def _see_a_quota(bench: Bench, model: str) -> None:
    """A prompt larger than its whole quota may come while nothing of it is used; the next may not."""
    began = perf_counter()
    first, second = bench.ask(model, READY), bench.ask(model, READY)
    right = first.ok and _is(second, QuotaExceeded.CODE) and second.should_retry == "false"
    bench.step("quota_used_up", began, ok=right, **_facts(second))


def _see_a_budget(bench: Bench, model: str) -> None:
    """Nothing fits into it, and coming again soon would not help."""
    began = perf_counter()
    answer = bench.ask(model, READY)
    right = _is(answer, BudgetExceeded.CODE, BudgetExceeded.STATUS)
    bench.step("budget_kept", began, ok=right, **_facts(answer))


def _is(answer: Answer, code: str, status: int = 429) -> bool:
    return (answer.status, answer.code, answer.scope) == (status, code, KEY)


def _facts(answer: Answer) -> dict[str, str | int | None]:
    return {"status": answer.status, "code": answer.code or "–", "scope": answer.scope or "–"}
