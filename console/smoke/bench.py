"""The bench that a check works on: its key, its calls, its steps, and what it has to take back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import perf_counter
from typing import Any

import msgspec
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.audit import Actor
from accounts.authentication import INFERENCE
from accounts.database import give_back_connection
from accounts.keys import create_key
from accounts.models import ApiKey, Organization
from common.errors import CodedError
from console.models import SmokeRun
from console.smoke.asking import Answer, Gateway, body_for
from console.smoke.report import FAILED, PASSED, RUNNING, SKIPPED, CheckReport, Fact, Step
from console.smoke.undoing import KEY, undo_all
from providers.schema import CHAT

KEY_LIVES = timedelta(minutes=15)
LONGEST_RUN_S = 480
KNOWN_EVERYWHERE_S = 1.2
"""A change reaches every gateway process within a second."""
PATIENCE_S = 6.0
"""And within five when Redis is away."""


class Skipped(Exception):
    """This check has nothing to check here. Carries a step that says why."""

    def __init__(self, name: str, **facts: Any) -> None:
        super().__init__(name)
        self.name, self.facts = name, facts


class Ended(Exception):
    """A step failed and the rest of the check has no ground any more."""


class Bench:
    """Of one run. `heard` is told of every step, as it is made."""

    def __init__(self, run: SmokeRun, actor: Actor, heard: Callable[[str, Step], None]) -> None:
        self.run = run
        self.organization: Organization = run.org
        self.actor = actor
        self.began_at = timezone.now()
        self._heard = heard
        self._late_at = time.monotonic() + LONGEST_RUN_S
        self._steps: list[Step] = []
        self._check = ""
        self._check_began = 0.0
        self._key: ApiKey | None = None
        self._gateway: Gateway | None = None

    # -- for the run ---------------------------------------------------------------------------

    def begin(self, check: str) -> None:
        self.began_at = timezone.now()
        self._check, self._check_began, self._steps = check, perf_counter(), []
        self._save(RUNNING)

    def end(self, complete: bool) -> None:
        """Takes back what the check made, and writes its verdict.

        Args:
            complete: False when an error of our own broke the check off.
        """
        if self._gateway is not None:
            self._gateway.close()
        self._gateway = self._key = None
        began = perf_counter()
        if not complete:
            self.step("broke_off", began, ok=False)
        if self.run.undo:
            left = undo_all(self.run, self.actor)
            self.step("taken_back" if not left else "not_taken_back", began, ok=not left, things=left)
        skipped = any(step.name in _REASONS_TO_SKIP for step in self._steps)
        failed = not all(step.ok for step in self._steps)
        self._save(FAILED if failed else SKIPPED if skipped else PASSED)

    def skip(self, reason: Skipped) -> None:
        self.step(reason.name, perf_counter(), **reason.facts)

    def refused(self, refusal: CodedError) -> None:
        """By a service that the check called: a right that is missing, a limit of the organisation."""
        self.step("refused", perf_counter(), ok=False, message=refusal.message)

    # -- for checks ----------------------------------------------------------------------------

    @property
    def key(self) -> ApiKey:
        assert self._key is not None, "nothing was asked yet"
        return self._key

    def make_key(self) -> ApiKey:
        """The key of this check. It cannot outlive its quarter of an hour, whatever happens to us."""
        began = perf_counter()
        with self.making() as made:
            plain = create_key(
                self.organization,
                self.actor,
                name="Smoke test",
                scopes=[INFERENCE],
                created_by=None,
                expires_at=timezone.now() + KEY_LIVES,
                is_ephemeral=True,
            )
            made(KEY, plain.key.public_id)
        self._key, self._gateway = plain.key, Gateway(settings.GATEWAY_URL, plain.plain)
        self.step("key_made", began, minutes=int(KEY_LIVES.total_seconds() // 60))
        return plain.key

    @contextmanager
    def making(self) -> Iterator[Callable[[str, str], None]]:
        """Whatever is made inside is there together with the note that it has to go, or not at all."""
        with transaction.atomic():
            yield self._note
            self.run.save(update_fields=["undo", "updated_at"])

    def _note(self, kind: str, id: str) -> None:
        self.run.undo.append([kind, id])

    def ask(
        self, model: str, prompt: str, *, endpoint: str = CHAT, anew: bool = True, traced: bool = False, **more: Any
    ) -> Answer:
        if self._gateway is None:
            self.make_key()
        if time.monotonic() > self._late_at:
            self.step("out_of_time", perf_counter(), ok=False, seconds=LONGEST_RUN_S)
            raise Ended
        give_back_connection()
        assert self._gateway is not None
        return self._gateway.ask(
            body_for(model, prompt, endpoint) | more, endpoint=endpoint, anew=anew, traced=traced
        )

    def wait_until_known(self) -> None:
        give_back_connection()
        time.sleep(KNOWN_EVERYWHERE_S)

    def until(self, ask: Callable[[], Answer], is_right: Callable[[Answer], bool]) -> Answer:
        """The first answer that is right, or the last one."""
        give_up_at = time.monotonic() + PATIENCE_S
        while True:
            answer = ask()
            if is_right(answer) or time.monotonic() > give_up_at:
                return answer
            time.sleep(0.3)

    def step(self, name: str, began: float, *, ok: bool = True, **facts: Fact) -> bool:
        """Args: began: `perf_counter()` when the step did. Returns: `ok`."""
        step = Step(name, ok, round((perf_counter() - began) * 1000), facts)
        self._steps.append(step)
        self._save(RUNNING)
        self._heard(self._check, step)
        return ok

    def require(self, name: str, began: float, ok: bool, **facts: Fact) -> None:
        """As `step`; without this one the rest makes no sense. Raises: Ended."""
        if not self.step(name, began, ok=ok, **facts):
            raise Ended

    def heard(self, answer: Answer, model: str, *, name: str = "answered", ok: bool | None = None) -> bool:
        """The step of one call, timed by the call itself."""
        facts: dict[str, Fact] = {"model": model, "target": answer.target, "cost_nanos": answer.cost_nanos}
        facts |= {"request": answer.request_id, "attempts": answer.attempts}
        if not answer.ok:
            name, facts = "not_answered", {"model": model, "status": answer.status, "code": answer.code or "–"}
            facts |= {"request": answer.request_id, "message": answer.message}
        return self.step(name, perf_counter() - answer.ms / 1000, ok=answer.ok if ok is None else ok, **facts)

    def _save(self, verdict: str) -> None:
        ms = round((perf_counter() - self._check_began) * 1000)
        report = msgspec.to_builtins(CheckReport(self._check, verdict, ms, tuple(self._steps)))
        others = [each for each in self.run.report if each["check"] != self._check]
        self.run.report = [*others, report]
        self.run.save(update_fields=["report", "updated_at"])


_REASONS_TO_SKIP = {"nothing_to_call", "no_second_target", "drill_is_on"}
