"""A process's money when rounds to PostgreSQL take long, or break off."""

from __future__ import annotations

import asyncio
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


class Remembers:
    """Grants what is asked for and keeps the rounds that came through; the next `failures` of them break off."""

    fileno = None

    def __init__(self) -> None:
        self.failures = 0
        self.through: list[Round] = []

    def has_begun(self, lessee: object) -> bool:
        return bool(self.through) and self.through[-1].lessee == lessee

    def close(self) -> None:
        """Nothing is open."""

    def run(self, todo: Round) -> Answers:
        if self.failures:
            self.failures -= 1
            raise psycopg.OperationalError("the connection is lost")
        self.through.append(todo)
        return granted(todo)


def granted(todo: Round) -> Answers:
    answers = Answers(time.monotonic())
    answers.opened = [(budget, OpenWindow(ACCOUNT, float("inf"), 1000, STAND)) for budget in todo.opens]
    answers.granted = [(ask, ask.at_least) for ask in todo.errands if isinstance(ask, Ask)]
    return answers


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
        return granted(todo)


class FreesLate(Remembers):
    """Refuses so many asks; each time others give back a moment later, before the round looks how things stand."""

    def __init__(self, refusals: int, balance: int) -> None:
        super().__init__()
        self._refusals = refusals
        self._stand = Stand(ACCOUNT, 1000, 0, balance, 0)

    def run(self, todo: Round) -> Answers:
        answers = super().run(todo)
        if self._refusals and answers.granted:
            self._refusals -= 1
            answers.granted = [(ask, 0) for ask, _ in answers.granted]
            answers.stands = {ACCOUNT: self._stand}
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


@pytest.mark.parametrize(("balance", "given"), [(10, Holding), (9, Short)])
async def test_nobody_is_refused_who_would_hear_that_enough_is_left(journal, balance, given):
    money = Treasury(FreesLate(40, balance), journal)
    try:
        assert isinstance(await money.hold_or_wait([(BUDGET, 10)]), given)
    finally:
        await money.aclose(is_settled=True)


async def test_when_none_succeeds_postgresql_is_away(journal):
    found = await held(journal, 100)
    assert isinstance(found, Short)
    assert found.is_away


async def test_what_is_settled_is_said_again_when_the_round_that_said_it_broke_off(journal):
    """Or what the process had leased as somebody else would be nobody's until it ends."""
    carrier = Remembers()
    money = Treasury(carrier, journal)
    first = await money.hold_or_wait([(BUDGET, 10)])
    first.close(0, 0, "")
    (lessee,) = {round_.lessee for round_ in carrier.through}
    carrier.failures = 3
    for _ in range(500):
        if carrier.through[-1].drained:
            break
        money.used_percent([BUDGET])
        money._wake()
        await asyncio.sleep(0.01)
    assert [round_.drained for round_ in carrier.through if round_.drained] == [(lessee,)]
    assert await money.aclose(is_settled=True)
    assert carrier.through[-1].drained == (carrier.through[-1].lessee,)


@pytest.mark.parametrize(("failures", "is_settled"), [(1, True), (0, False)], ids=["broken off", "not settled"])
async def test_a_journal_stays_while_something_is_leased(journal, failures, is_settled):
    """Whoever replays it frees that."""
    carrier = Remembers()
    money = Treasury(carrier, journal)
    await money.hold_or_wait([(BUDGET, 10)])
    carrier.failures = failures
    is_over = await money.aclose(is_settled=is_settled)
    assert not is_over
    journal.close(is_over=is_over)
    assert [path.stem.rpartition("-")[0] for path in journal.directory.glob("*.journal")] == [journal.name]
