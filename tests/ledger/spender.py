"""A process that spends an account by allowances until no request is covered any more; started by the tests.

python -m tests.ledger.spender <conninfo> <lessee> <account> <revenue account> <bound> <actual>
"""

from __future__ import annotations

import sys
import time
from uuid import UUID

import psycopg

from common.ids import new_id
from ledger import leases
from ledger.allowances import Allowances, Reservation, Shortage
from ledger.drafts import Draft

IN_FLIGHT = 4
GIVE_UP_AFTER_S = 90.0
BREATH_S = 0.02


class Spender:
    def __init__(self, conninfo: str, lessee: UUID, account: int, revenue: int) -> None:
        self.connection = psycopg.connect(conninfo, autocommit=True)
        self.lessee, self.account, self.revenue = lessee, account, revenue
        self.allowances = Allowances(time.monotonic())
        with self.connection.transaction(), self.connection.cursor() as cursor:
            leases.begin(cursor, lessee)

    def run_errands(self) -> None:
        errands = self.allowances.errands(time.monotonic())
        if errands:
            with self.connection.transaction(), self.connection.cursor() as cursor:
                granted = leases.run(cursor, self.lessee, errands)
            for ask, amount in granted:
                self.allowances.granted(ask, amount, time.monotonic())

    def reserve(self, bound: int) -> Reservation | None:
        for _ in range(2):
            found = self.allowances.reserve({self.account: bound}, time.monotonic())
            if not isinstance(found, Shortage):
                return found
            self.run_errands()
        return None

    def settle(self, reservations: list[Reservation], actual: int) -> None:
        charges = [found.close({self.account: actual}, time.monotonic())[self.account] for found in reservations]
        drafts = [Draft(new_id("call"), "usage", {self.account: -charge, self.revenue: charge}) for charge in charges]
        with self.connection.transaction(), self.connection.cursor() as cursor:
            leases.settle(cursor, self.lessee, {self.account: sum(charges)}, drafts)

    def give_all_back(self) -> None:
        back = self.allowances.close()
        with self.connection.transaction(), self.connection.cursor() as cursor:
            leases.run(cursor, self.lessee, back)

    def balance(self) -> int:
        row = self.connection.execute("SELECT balance FROM ledger_account WHERE id = %s", (self.account,)).fetchone()
        return int(row[0])


def spend(spender: Spender, bound: int, actual: int) -> None:
    deadline = time.monotonic() + GIVE_UP_AFTER_S
    while time.monotonic() < deadline and spender.balance() >= bound:
        in_flight = [found for found in (spender.reserve(bound) for _ in range(IN_FLIGHT)) if found is not None]
        if in_flight:
            spender.settle(in_flight, actual)
        else:
            spender.give_all_back()
            time.sleep(BREATH_S)
    spender.give_all_back()


if __name__ == "__main__":
    conninfo, lessee, *numbers = sys.argv[1:]
    account, revenue, bound, actual = map(int, numbers)
    spend(Spender(conninfo, UUID(lessee), account, revenue), bound, actual)
