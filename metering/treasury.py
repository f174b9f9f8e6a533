"""The money of one process: holds what a request may cost of every budget, from memory, and keeps the slices filled.

    hold ──► Holding ──► close(cost)          no I/O while the slices last
      └─► hold_or_wait ──► Holding | Short    a round to PostgreSQL; others give back what is idle; then no

One round is under way at a time, in a thread. Whatever fails in the middle of one leaves nobody sure of what was
leased, so the process goes on as a new lessee; the old one's leases are free once all that it spent is settled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic, time
from uuid import UUID, uuid4

import psycopg

from accounts.scopes import BLOCK
from common.errors import ShareAIError
from ledger.allowances import Allowances, Ask, Shortage
from metering.budgets import Budget
from metering.holdings import Holding, Known, Lessee, Short, Waiting, Wish
from metering.journal import Journal
from metering.recalls import Recalls
from metering.rounds import Answers, Carrier, Round, Stand

AWAY_S = 2.0
TICK_S = 0.05
ASK_AGAIN_S = 0.02
ASK_LATER_S = 0.1
LONG_S = 1.0
"""Who has waited for so long has PostgreSQL asked less often."""
LOOK_EVERY_S = 1.0
DRY_S = 1.0
"""For so long nobody waits again for a budget that does not block."""
RETRY_S = 0.25
_AWAY = (psycopg.Error, OSError, ShareAIError)

logger = logging.getLogger(__name__)


class Treasury:
    """Used inside one event loop; asks PostgreSQL for the first time when a budget is first held."""

    def __init__(self, teller: Carrier, journal: Journal) -> None:
        """Args: journal: that what is spent is written to."""
        self._journal = journal
        self._teller = teller
        self._allowances = Allowances(monotonic())
        self._lessee = Lessee(uuid4())
        self._retired: list[Lessee] = []
        self._windows: dict[str, Known] = {}
        self._waiting: list[Waiting] = []
        self._recalls = Recalls()
        self._to_open: dict[str, Budget] = {}
        self._look_at_s = 0.0
        self._ask_at_s = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="treasury")
        self._running: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._serving: asyncio.Handle | None = None
        self._watched: int | None = None
        self._is_used = False
        self._failing_since_s: float | None = None

    # -- for requests --------------------------------------------------------------------------

    def hold(self, wishes: Sequence[Wish]) -> Holding | None:
        """From memory; None when that does not suffice, and `hold_or_wait` may."""
        bounds: dict[int, int] = {}
        budgets: list[tuple[Budget, int]] = []
        now_s = time()
        for budget, bound in wishes:
            known = self._known(budget, now_s)
            if known is None:
                return None
            if known.window.amount is None:
                continue  # deleted, and the snapshot has yet to hear of it
            bounds[known.window.account_id] = bound
            budgets.append((budget, known.window.account_id))
        found = self._allowances.reserve(bounds, monotonic())
        if isinstance(found, Shortage):
            return None
        self._lessee.in_flight += 1
        return Holding(self._lessee, found, budgets, self._closed)

    def _known(self, budget: Budget, now_s: float) -> Known | None:
        """None: its window has to be opened first, or again."""
        known = self._windows.get(budget.name)
        is_good = known is not None and known.budget.amount == budget.amount and now_s < known.window.ends_at_s
        return known if is_good else None

    async def hold_or_wait(self, wishes: Sequence[Wish], *, is_patient: bool = False) -> Holding | Short:
        """Waits for a round and, for budgets that block, until others have given back what they do not use.

        Args: is_patient: for all budgets.
        """
        if (found := self.hold(wishes)) is not None:
            return found
        answer: asyncio.Future[Holding | Short] = asyncio.get_running_loop().create_future()
        waiting = Waiting(wishes, answer, monotonic(), self._recalls.last, is_patient)
        self._waiting.append(waiting)
        self._wake()
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            elif waiting.answer.done() and not waiting.answer.cancelled():
                given = waiting.answer.result()
                if isinstance(given, Holding):
                    given.close(0, 0, "")
            raise

    def accounts_of(self, budgets: Iterable[Budget]) -> list[tuple[Budget, int]]:
        """Those whose window is known, with its account."""
        found = ((budget, self._windows.get(budget.name)) for budget in budgets)
        return [(budget, known.window.account_id) for budget, known in found if known and known.window.amount]

    def is_dry(self, budget: Budget) -> bool:
        """Nothing was left of it a moment ago: whoever can do without need not ask again."""
        known = self._windows.get(budget.name)
        refusal = None if known is None else self._recalls.refusal_of(known.window.account_id)
        return refusal is not None and monotonic() - refusal.at_s < DRY_S

    def left_of(self, budget: Budget) -> int:
        """What there was when PostgreSQL was last asked, and what this process has of it."""
        known = self._windows.get(budget.name)
        if known is None:
            return 0
        return max(0, known.stand.balance - known.stand.held) + self._allowances.free(known.window.account_id)

    def used_percent(self, budgets: Iterable[Budget]) -> float:
        """How much of the fullest of them is used, as of about a second ago; 0 for what is not known yet.

        What is not known is asked for, so that the next request finds it.
        """
        fullest = 0.0
        for budget in budgets:
            known = self._known(budget, time())
            if known is None:
                self._to_open[budget.name] = budget
                self._wake()
            elif known.window.amount:
                fullest = max(fullest, 100.0 * known.stand.used / known.window.amount)
        return fullest

    async def aclose(self, *, is_settled: bool) -> bool:
        """Gives everything back. False: some may still be leased, until somebody has replayed the journal.

        Args: is_settled: all that this process spent has been recorded.
        """
        for handle in (self._timer, self._serving):
            if handle is not None:
                handle.cancel()
        if self._running is not None:
            await asyncio.wait([self._running])
        self._unwatch()
        is_over = not self._is_used
        if not is_over:
            drained = tuple(one.id for one in (self._lessee, *self._retired)) if is_settled else ()
            last = Round(self._lessee.id, errands=tuple(self._allowances.close()), drained=drained)
            with suppress(*_AWAY):
                answers = await asyncio.get_running_loop().run_in_executor(self._thread, self._teller.run, last)
                is_over = is_settled and answers.is_known
        self._teller.close()
        self._thread.shutdown(wait=False)
        return is_over

    def _closed(self, lessee: Lessee) -> None:
        """A request has ended: others may have waited for what it held."""
        lessee.in_flight -= 1
        if self._waiting and self._serving is None:
            self._serving = asyncio.get_running_loop().call_soon(self._serve_again)

    # -- rounds --------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._running is None:
            self._is_used = True
            self._unwatch()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._running = asyncio.get_running_loop().create_task(self._run_rounds())

    async def _run_rounds(self) -> None:
        try:
            await self._run_round()
            while self._waiting or self._to_open or self._recalls.owed:
                if not self._recalls.owed:
                    await asyncio.sleep(max(self._ask_at_s - monotonic(), 0))
                await self._run_round()
        finally:
            self._running = None
            self._watch()
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        """Goes on ticking while there is anything that could have to be given back or asked for."""
        self._timer = None
        now_s = monotonic()
        if self._running is None and (
            self._allowances.has_errands(now_s) or self._retired or (self._is_watching and now_s >= self._look_at_s)
        ):
            self._wake()
        elif self._is_watching:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    @property
    def _is_watching(self) -> bool:
        return not self._allowances.is_empty or any(known.is_too_full for known in self._windows.values())

    async def _run_round(self) -> None:
        now_s = monotonic()
        todo = self._next_round(now_s)
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self._thread, self._teller.run, todo)
        except _AWAY as error:
            self._note_failure(error)
            self._begin_again()
            self._ask_at_s = monotonic() + RETRY_S
        else:
            self._failing_since_s = None
            self._take(answers, todo)
        self._serve()
        self._refuse(monotonic())

    def _note_failure(self, error: Exception) -> None:
        if self._failing_since_s is None:
            logger.warning("budgets: PostgreSQL cannot be asked: %s", error)
            self._failing_since_s = monotonic()

    def _next_round(self, now_s: float) -> Round:
        opens = {**self._to_open, **{budget.name: budget for budget in self._unopened()}}
        self._to_open = {}
        refresh: tuple[int, ...] = ()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_EVERY_S
            opens |= {name: known.budget for name, known in self._windows.items() if known.is_too_full}
            refresh = tuple(known.window.account_id for known in self._windows.values())
        # At the moment, not when it was recalled: what this process says that it has given back must be all there is.
        recalled = {one.account_id for one in self._recalls.owed}
        returns = [one for account_id in recalled if (one := self._allowances.recalled(account_id, now_s))]
        return Round(
            self._lessee.id,
            opens=tuple(opens.values()),
            errands=(*returns, *self._allowances.errands(now_s)),
            refresh=refresh,
            recalls=tuple(self._recalls.due(self._short_accounts(opens), self._lessee.name, now_s)),
            heeded=tuple(self._recalls.pay(self._names)),
            drained=tuple(self._settled_lessees()),
        )

    @property
    def _names(self) -> list[str]:
        """As others know this process. What earlier lessees hold for requests in flight, nobody can give back."""
        return [self._lessee.name, *(old.name for old in self._retired if old.in_flight)]

    def _unopened(self) -> Iterable[Budget]:
        now_s = time()
        for waiting in self._waiting:
            yield from (budget for budget, _ in waiting.wishes if self._known(budget, now_s) is None)

    def _short_accounts(self, opens: Iterable[str]) -> set[int]:
        """Those that PostgreSQL has nothing left of, or too much of, while others may have idle slices."""
        too_full = {self._windows[name].window.account_id for name in opens if name in self._windows}
        return too_full.union(self._recalls.refused) if self._waiting else too_full

    def _settled_lessees(self) -> list[UUID]:
        """They stay retired until a round has said so to PostgreSQL: one that broke off may not have."""
        for old in self._retired:
            if not old.in_flight and old.shipped_at is None:
                old.shipped_at = self._journal.place
        return [
            old.id
            for old in self._retired
            if old.shipped_at is not None and self._journal.has_shipped(old.shipped_at)
        ]

    def _begin_again(self) -> None:
        """PostgreSQL may have leased more, or taken back less, than this process knows."""
        if self._lessee.in_flight or self._teller.has_begun(self._lessee.id):
            self._retired.append(self._lessee)
        self._teller.close()
        self._allowances.lost()
        self._lessee = Lessee(uuid4())

    def _take(self, answers: Answers, todo: Round) -> None:
        now_s = monotonic()
        if not answers.is_known:
            self._allowances.lost()
            self._teller.close()
            self._lessee = Lessee(uuid4())
            return
        self._retired = [old for old in self._retired if old.id not in todo.drained]
        self._allowances.renewed(answers.began_s)
        for budget, window in answers.opened:
            self._windows[budget.name] = Known(budget, window, window.stand)
        for known in self._windows.values():
            known.stand = answers.stands.get(known.window.account_id, known.stand)
        for ask, amount in answers.granted:
            self._allowances.granted(ask, amount, now_s)
            if amount:
                self._recalls.granted(ask.account_id)
            else:
                self._recalls.refuse(ask.account_id, answers.holders.get(ask.account_id, ()), now_s)
        self._recalls.hear(answers.heeded, self._names)
        asked = any(isinstance(errand, Ask) for errand in todo.errands)
        if asked and not any(amount for _, amount in answers.granted):
            is_long = bool(self._waiting) and now_s - self._waiting[0].since_s > LONG_S
            self._ask_at_s = now_s + (ASK_LATER_S if is_long else ASK_AGAIN_S)
        for recall in answers.recalled:
            self._allowances.recall(recall.account_id, now_s)
        self._recalls.owe(answers.recalled, self._names)

    # -- who waits -----------------------------------------------------------------------------

    def _serve_again(self) -> None:
        self._serving = None
        self._serve()

    def _serve(self) -> None:
        """First come, first served, but nobody waits for one who is short of another account."""
        dry: set[str] = set()
        still: list[Waiting] = []
        for waiting in self._waiting:
            if waiting.answer.done():
                continue
            names = [budget.name for budget, _ in waiting.wishes]
            found = None if dry.intersection(names) else self.hold(waiting.wishes)
            if found is None:
                dry.update(names)
                still.append(waiting)
            else:
                waiting.answer.set_result(found)
        self._waiting = still

    def _refuse(self, now_s: float) -> None:
        still: list[Waiting] = []
        for waiting in self._waiting:
            short = self._short(waiting, now_s)
            if short is None:
                still.append(waiting)
            else:
                waiting.answer.set_result(short)
        self._waiting = still

    def _short(self, waiting: Waiting, now_s: float) -> Short | None:
        """Why it may wait no longer; None: it may."""
        stands: dict[str, Stand | None] = {}
        for budget, bound in waiting.wishes:
            known = self._windows.get(budget.name)
            if known is None or self._allowances.free(known.window.account_id) >= bound:
                continue
            refusal = self._recalls.refusal_of(known.window.account_id)
            if refusal is None:
                continue
            if budget.when_reached == BLOCK or waiting.is_patient:
                if not waiting.is_refused(refusal, now_s):
                    continue
            elif now_s - refusal.at_s > DRY_S:
                continue
            if self.left_of(budget) >= bound:
                continue  # given back between PostgreSQL's refusal and how it said that things stand
            stands[budget.name] = known.stand
        if stands:
            return Short(stands)
        return Short({}, is_away=True) if self._is_away(waiting, now_s) else None

    def _is_away(self, waiting: Waiting, now_s: float) -> bool:
        """PostgreSQL; when this process stood still, a long wait says nothing about it."""
        failing_since_s = self._failing_since_s
        return failing_since_s is not None and now_s - max(waiting.since_s, failing_since_s) >= AWAY_S

    # -- what others recall --------------------------------------------------------------------

    def _watch(self) -> None:
        if (fd := self._teller.fileno) is not None:
            self._watched = fd
            asyncio.get_running_loop().add_reader(fd, self._wake)

    def _unwatch(self) -> None:
        """A round reads from the same socket."""
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            self._watched = None
