"""Anything the ledger can be asked to do, in any order, against a model that only counts."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import Organization
from common.ids import new_id
from ledger import holds, kinds, leases
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.errors import BusinessIdReused, HoldEnded, InvalidTransfer, NotCovered, NotReversible
from ledger.models import Account
from ledger.transfers import post, reverse
from tests.kept import truncating
from tests.ledger.conftest import own_findings

IS_LONG = os.environ.get("SHAREAI_LONG") == "1"
STEPS = 200_000 if IS_LONG else 5_000
STEPS_EACH = 100
EXAMPLES = STEPS // 80  # some end early, by chance more or fewer of them
EMPTIED_AFTER = 20
AMOUNTS = st.integers(1, 20) | st.integers(1, 10**12)
PREPAID = 3  # of the five accounts, the first three
INDEX = st.integers(0, 4)
PICK = st.integers(0, 10**6)


@dataclass
class HoldModel:
    account: int
    amount: int
    state: str = "reserved"
    draft: Draft | None = None


@dataclass
class LesseeModel:
    amounts: dict[int, int] = field(default_factory=dict)


class LedgerMachine(RuleBasedStateMachine):
    machines = steps = 0
    """Steps of all machines: each changed the ledger, or was refused by it."""

    @initialize()
    def open_accounts(self) -> None:
        org = Organization.objects.create(public_id=new_id("org"), name="Machine", slug=uuid4().hex)
        opened = [
            ensure_account(kinds.WALLET, org),
            ensure_account(kinds.BUDGET, org),
            ensure_account(kinds.REWARDS_ESCROW, org),
            ensure_account(kinds.REVENUE),
            ensure_account(kinds.STRIPE_CLEARING),
        ]
        self.ids = [account.pk for account in opened]
        self.balance = {account.pk: account.balance for account in opened}
        self.held = {account.pk: account.held for account in opened}
        self.posted: dict[str, Draft] = {}
        self.reversed: set[str] = set()
        self.holds: dict[str, HoldModel] = {}
        self.lessees: dict[object, LesseeModel] = {}

    def free(self, account: int) -> int:
        return self.balance[account] - self.held[account]

    def is_prepaid(self, account: int) -> bool:
        return account in self.ids[:PREPAID]

    def covers(self, moves: dict[int, int], freed: dict[int, int] | None = None) -> bool:
        return not any(
            self.is_prepaid(account)
            and amount < 0
            and self.free(account) + (freed or {}).get(account, 0) + amount < 0
            for account, amount in moves.items()
        )

    def apply(self, moves: dict[int, int]) -> None:
        for account, amount in moves.items():
            self.balance[account] += amount

    def draft(self, source: int, sink: int, amount: int) -> Draft:
        sink = sink if sink != source else (sink + 1) % len(self.ids)
        return Draft(new_id("x"), "test", {self.ids[source]: -amount, self.ids[sink]: amount}, reason="a test")

    @rule(source=INDEX, sink=INDEX, amount=AMOUNTS)
    def post_something(self, source: int, sink: int, amount: int) -> None:
        draft = self.draft(source, sink, amount)
        if self.covers(draft.moves):
            assert post(draft).is_new
            self.apply(draft.moves)
            self.posted[draft.business_id] = draft
        else:
            with pytest.raises(NotCovered):
                post(draft)

    @rule(amount=AMOUNTS, sink=st.integers(0, PREPAID - 1))
    def top_up(self, amount: int, sink: int) -> None:
        self.post_something(4, sink, amount)

    @precondition(lambda self: self.posted)
    @rule(pick=PICK, alter=st.booleans())
    def replay(self, pick: int, alter: bool) -> None:
        draft = list(self.posted.values())[pick % len(self.posted)]
        if alter:
            other = Draft(draft.business_id, draft.kind, {id: -amount for id, amount in draft.moves.items()})
            with pytest.raises(BusinessIdReused):
                post(other)
        else:
            assert not post(draft).is_new

    @precondition(lambda self: self.posted)
    @rule(pick=PICK)
    def take_back(self, pick: int) -> None:
        draft = list(self.posted.values())[pick % len(self.posted)]
        opposite = {account: -amount for account, amount in draft.moves.items()}
        if draft.business_id in self.reversed:
            assert not reverse(draft.business_id, "a test").is_new
            with pytest.raises(NotReversible):
                reverse(draft.business_id, "another")
        elif self.covers(opposite):
            assert reverse(draft.business_id, "a test").is_new
            self.reversed.add(draft.business_id)
            self.apply(opposite)
        else:
            with pytest.raises(NotCovered):
                reverse(draft.business_id, "a test")

    @rule(account=INDEX, amount=AMOUNTS)
    def reserve(self, account: int, amount: int) -> None:
        id, name = self.ids[account], new_id("hold")
        if self.is_prepaid(id) and self.free(id) < amount:
            with pytest.raises(NotCovered):
                holds.reserve(name, id, amount)
            return
        holds.reserve(name, id, amount)
        self.held[id] += amount
        self.holds[name] = HoldModel(id, amount)

    @precondition(lambda self: self.holds)
    @rule(pick=PICK, sink=INDEX, amount=AMOUNTS)
    def capture(self, pick: int, sink: int, amount: int) -> None:
        name, hold = list(self.holds.items())[pick % len(self.holds)]
        draft = hold.draft or self.draft(self.ids.index(hold.account), sink, amount)
        if hold.state == "captured":
            assert not holds.capture(name, draft).is_new
        elif hold.state == "released":
            with pytest.raises(HoldEnded):
                holds.capture(name, draft)
        elif -draft.moves[hold.account] > hold.amount:
            with pytest.raises(InvalidTransfer):
                holds.capture(name, draft)
        else:
            holds.capture(name, draft)
            self.held[hold.account] -= hold.amount
            self.apply(draft.moves)
            hold.state, hold.draft = "captured", draft
            self.posted[draft.business_id] = draft

    @precondition(lambda self: self.holds)
    @rule(pick=PICK)
    def release(self, pick: int) -> None:
        name, hold = list(self.holds.items())[pick % len(self.holds)]
        if hold.state == "captured":
            with pytest.raises(HoldEnded):
                holds.release(name)
            return
        holds.release(name)
        if hold.state == "reserved":
            self.held[hold.account] -= hold.amount
            hold.state = "released"

    @rule()
    def begin(self) -> None:
        lessee = uuid4()
        with transaction.atomic(), connection.cursor() as cursor:
            leases.begin(cursor, lessee)
        self.lessees[lessee] = LesseeModel()

    @precondition(lambda self: self.lessees)
    @rule(pick=PICK, account=INDEX, wanted=AMOUNTS, at_least=AMOUNTS)
    def lease(self, pick: int, account: int, wanted: int, at_least: int) -> None:
        id = self.ids[account]
        lessee, model = list(self.lessees.items())[pick % len(self.lessees)]
        free = self.free(id)
        with transaction.atomic(), connection.cursor() as cursor:
            got = leases.lease(cursor, lessee, id, wanted=wanted, at_least=at_least)
        if self.is_prepaid(id):
            assert (got >= at_least) if free >= at_least else got == 0
            assert got <= max(at_least, free // leases.SHARE)
        assert got % at_least == 0
        assert got <= max(wanted, at_least)
        self.held[id] += got
        model.amounts[id] = model.amounts.get(id, 0) + got

    @precondition(lambda self: self.lessees)
    @rule(pick=PICK, account=INDEX, amount=AMOUNTS)
    def give_back(self, pick: int, account: int, amount: int) -> None:
        id = self.ids[account]
        lessee, model = list(self.lessees.items())[pick % len(self.lessees)]
        with transaction.atomic(), connection.cursor() as cursor:
            leases.give_back(cursor, lessee, {id: amount})
        back = min(amount, model.amounts.get(id, 0))
        self.held[id] -= back
        model.amounts[id] = model.amounts.get(id, 0) - back

    @precondition(lambda self: self.lessees)
    @rule(pick=PICK, account=INDEX, sink=INDEX, amount=AMOUNTS)
    def settle(self, pick: int, account: int, sink: int, amount: int) -> None:
        id = self.ids[account]
        lessee, model = list(self.lessees.items())[pick % len(self.lessees)]
        draft = self.draft(account, sink, amount)
        taken = min(amount, model.amounts.get(id, 0))
        if not self.covers(draft.moves, {id: taken}):
            with pytest.raises(NotCovered), transaction.atomic(), connection.cursor() as cursor:
                leases.settle(cursor, lessee, {id: amount}, [draft])
            return
        with transaction.atomic(), connection.cursor() as cursor:
            leases.settle(cursor, lessee, {id: amount}, [draft])
        self.held[id] -= taken
        model.amounts[id] = model.amounts.get(id, 0) - taken
        self.apply(draft.moves)
        self.posted[draft.business_id] = draft

    @precondition(lambda self: self.lessees)
    @rule(pick=PICK)
    def bury(self, pick: int) -> None:
        lessee = list(self.lessees)[pick % len(self.lessees)]
        with transaction.atomic(), connection.cursor() as cursor:
            leases.drained(cursor, lessee)
            assert leases.reap(cursor) == [lessee]
            assert not leases.renew(cursor, lessee)
        for account, amount in self.lessees.pop(lessee).amounts.items():
            self.held[account] -= amount

    @invariant()
    def accounts_are_as_counted(self) -> None:
        if hasattr(self, "ids"):
            LedgerMachine.steps += 1
            found = Account.objects.filter(pk__in=self.ids).values_list("pk", "balance", "held")
            assert {pk: (balance, held) for pk, balance, held in found} == {
                id: (self.balance[id], self.held[id]) for id in self.ids
            }

    def teardown(self) -> None:
        """The proof reads the whole ledger, which is therefore emptied now and then."""
        assert own_findings() == []
        LedgerMachine.machines += 1
        if LedgerMachine.machines % EMPTIED_AFTER == 0:
            with transaction.atomic(), connection.cursor() as cursor, truncating(cursor, {"ledger_account"}):
                cursor.execute("TRUNCATE ledger_account, ledger_transfer, ledger_lessee CASCADE")


def test_any_order_of_anything(transactional_db):
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS_EACH,
            deadline=None,
            derandomize=not IS_LONG,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert LedgerMachine.steps >= STEPS
