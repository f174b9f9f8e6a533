"""Carries a process's errands to PostgreSQL, in a thread: the blocking half of the treasury.

Each account has a transaction of its own, so that none waits for another in a circle with a batch that is posted.
Processes recall idle slices from each other by NOTIFY on the same connection: what PostgreSQL cannot tell, it cannot
lease either.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

import psycopg

from ledger import leases
from ledger.allowances import Ask, Return
from metering.recalls import Heeded, Recall
from metering.rounds import Answers, Round
from metering.windows import open_window, stands_of

CHANNEL = "shareai_recall"
"""Messages are `account by number of,of,…`, which is a recall, and `heeded account by number lessee`."""
HEEDED = "heeded"
RENEW_EVERY_S = 10.0
CONNECT_TIMEOUT_S = 2
SILENCE_LONGEST_MS = 3_000
SESSION = "SET TIME ZONE 'UTC'; SET statement_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s'"
NOTIFY = "SELECT pg_notify(%s, %s)"


class Teller:
    """Args: journal: the name of the one that what is spent is written to."""

    def __init__(self, conninfo: str, journal: str) -> None:
        self._conninfo = conninfo
        self._journal = journal
        self._connection: psycopg.Connection | None = None
        self._begun: UUID | None = None
        self._renew_at_s = 0.0

    @property
    def fileno(self) -> int | None:
        """Readable when another process has recalled something; to be watched between rounds."""
        return None if self._connection is None else self._connection.fileno()

    def has_begun(self, lessee: UUID) -> bool:
        return self._begun == lessee

    def run(self, todo: Round) -> Answers:
        """Raises: psycopg.Error: nobody knows how far it came."""
        answers = Answers(time.monotonic())
        connection = self._connected()
        answers.is_known = self._alive(connection, todo.lessee)
        if not answers.is_known:
            return answers
        now = datetime.now(UTC)
        for budget in todo.opens:
            with connection.transaction(), connection.cursor() as cursor:
                answers.opened.append((budget, open_window(cursor, budget, now)))
        for errands in _by_account(todo.errands):
            with connection.transaction(), connection.cursor() as cursor:
                self._run(cursor, todo.lessee, errands, answers)
        self._look(connection, todo, answers)
        self._tell(connection, todo)
        self._listen(connection, todo.lessee, answers)
        return answers

    @staticmethod
    def _run(cursor: psycopg.Cursor, lessee: UUID, errands: list[Ask | Return], answers: Answers) -> None:
        """Those of one account. Who else holds of it is read before its lock is let go."""
        granted = leases.run(cursor, lessee, errands)
        answers.granted += granted
        if any(not amount for _, amount in granted):
            account_id = errands[0].account_id
            answers.holders[account_id] = [str(one) for one in leases.other_holders(cursor, lessee, account_id)]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._begun = None

    def _alive(self, connection: psycopg.Connection, lessee: UUID) -> bool:
        now_s = time.monotonic()
        if self._begun == lessee and now_s < self._renew_at_s:
            return True
        with connection.transaction(), connection.cursor() as cursor:
            if self._begun == lessee:
                is_known = leases.renew(cursor, lessee)
            else:
                leases.begin(cursor, lessee, self._journal)
                is_known = True
        self._begun, self._renew_at_s = lessee, now_s + RENEW_EVERY_S
        return is_known

    def _look(self, connection: psycopg.Connection, todo: Round, answers: Answers) -> None:
        refused = {ask.account_id for ask, amount in answers.granted if not amount}
        wanted = sorted(refused.union(todo.refresh))
        if wanted:
            with connection.cursor() as cursor:
                answers.stands = stands_of(cursor, wanted)

    def _tell(self, connection: psycopg.Connection, todo: Round) -> None:
        for recall in todo.recalls:
            said = f"{recall.account_id} {recall.by} {recall.number} {','.join(recall.of)}"
            connection.execute(NOTIFY, (CHANNEL, said.rstrip()))
        for heeded in todo.heeded:
            said = f"{HEEDED} {heeded.account_id} {heeded.by} {heeded.number} {heeded.lessee}"
            connection.execute(NOTIFY, (CHANNEL, said))
        if todo.drained:
            with connection.transaction(), connection.cursor() as cursor:
                for lessee in todo.drained:
                    leases.drained(cursor, lessee)
                leases.reap(cursor)

    def _listen(self, connection: psycopg.Connection, lessee: UUID, answers: Answers) -> None:
        """Those too that came during a statement."""
        for notify in connection.notifies(timeout=0):
            heard = _heard(notify.payload)
            if isinstance(heard, Heeded):
                answers.heeded.append(heard)
            elif heard is not None and heard.by != str(lessee):
                answers.recalled.append(heard)

    def _connected(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._conninfo,
                autocommit=True,
                application_name="shareai treasury",
                connect_timeout=CONNECT_TIMEOUT_S,
                tcp_user_timeout=SILENCE_LONGEST_MS,
            )
            self._connection.execute(SESSION)
            self._connection.execute(f"LISTEN {CHANNEL}")
        return self._connection


def _by_account(errands: Iterable[Ask | Return]) -> list[list[Ask | Return]]:
    grouped: dict[int, list[Ask | Return]] = {}
    for errand in errands:
        grouped.setdefault(errand.account_id, []).append(errand)
    return list(grouped.values())


def _heard(said: str) -> Recall | Heeded | None:
    """None for what another release may say."""
    match said.split(" "):
        case [account, by, number, *of] if account.isdigit() and number.isdigit():
            return Recall(int(account), by, int(number), tuple(of[0].split(",")) if of else ())
        case [account, by] if account.isdigit():
            return Recall(int(account), by, 0)
        case [kind, account, by, number, lessee] if kind == HEEDED and account.isdigit() and number.isdigit():
            return Heeded(int(account), by, int(number), lessee)
    return None
