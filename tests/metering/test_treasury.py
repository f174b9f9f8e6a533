"""Who waits for a budget is not told that PostgreSQL is away because this process stood still."""

from __future__ import annotations

import time

import psycopg
import pytest

from accounts.scopes import BLOCK, LIFETIME, ORGANISATION, USD
from ledger.allowances import Ask
from metering import treasury
from metering.budgets import Budget
from metering.holdings import Holding, Short
from metering.rounds import Answers, OpenWindow, Round, Stand
from metering.treasury import Treasury

ACCOUNT = 7
BUDGET = Budget("1:organisation::usd:lifetime", 1, ORGANISATION, "", "", USD, LIFETIME, 1000, BLOCK)
STAND = Stand(ACCOUNT, 1000, 0, 1000, 0)


class Carries:
    """Each round takes longer than anybody is to wait for PostgreSQL. The first `failures` of them break off."""

    fileno = None

    def __init__(self, failures: int) -> None:
        self._failures = failures

    def has_begun(self, lessee: object) -> bool:
        return False

    def close(self) -> None:
        """Nothing is open."""

    def run(self, todo: Round) -> Answers:
        time.sleep(2 * treasury.AWAY_S)
        if self._failures:
            self._failures -= 1
            raise psycopg.OperationalError("terminating connection due to idle-in-transaction timeout")
        answers = Answers(time.monotonic())
        answers.opened = [(budget, OpenWindow(ACCOUNT, float("inf"), 1000, STAND)) for budget in todo.opens]
        answers.granted = [(ask, ask.at_least) for ask in todo.errands if isinstance(ask, Ask)]
        return answers


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(treasury, "AWAY_S", 0.1)
    monkeypatch.setattr(treasury, "RETRY_S", 0.01)


async def held(journal, failures: int) -> Holding | Short:
    money = Treasury(Carries(failures), journal)
    try:
        return await money.hold_or_wait([(BUDGET, 10)])
    finally:
        await money.aclose(is_settled=True)


async def test_rounds_that_take_long_are_waited_for(journal):
    assert isinstance(await held(journal, 0), Holding)


async def test_one_that_broke_off_is_tried_again_first(journal):
    assert isinstance(await held(journal, 1), Holding)


async def test_when_none_succeeds_postgresql_is_away(journal):
    found = await held(journal, 100)
    assert isinstance(found, Short)
    assert found.is_away
