"""Doubts become cases: the lot waits, the owner is asked, somebody decides; silence gives back what is at stake.

doubt ─► open ──(answer)──► answered ──(staff)──► dismissed   it matures as any other
           │                    └─────(staff)──► upheld       its share is taken back
           └──(no answer in time)──────────────► upheld
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta
from fractions import Fraction

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, authority
from accounts.audit import Actor
from accounts.changes import changing
from accounts.errors import InvalidField
from accounts.models import Organization
from accounts.roles import Permission
from billing.earnings import clawback
from billing.earnings.errors import CaseClosed
from billing.earnings.models import Case, Lot
from common.ids import new_id
from common.money import format_usd
from nodes.models import NodeDoubt, NodeModel
from nodes.recount import INFLATED, MORE_THAN_BYTES, PROMPT_INFLATED, TOO_FAST, WRONG_ANSWER

COUNTS = frozenset({MORE_THAN_BYTES, INFLATED, PROMPT_INFLATED})
WRONG_ANSWERS_FOR_A_CASE = 3
"""Failed canaries of one model on one day. A small model may miss one; three of the very few asked are a pattern."""

LOOKED_BACK = timedelta(days=30)
LONGEST_ANSWER = 2000
NO_ANSWER_CAME = "no answer in time"


def share_at_stake(lot: Lot, doubts: Collection[NodeDoubt]) -> Fraction:
    """What of a lot its doubts put at stake: the largest of what each kind does, for they are of the same answers.

    Counts: the tokens in excess of what was counted here, of all, and no more than the part of the doubted requests:
    what was said beyond belief was not paid. Speeds: the doubted requests, of all. Three or more wrong answers to
    canaries: everything.
    """
    return max((_share(lot, doubt) for doubt in doubts), default=Fraction(0))


def share_given_back(case: Case) -> Fraction:
    """Of one that was upheld; of an old one as its doubts say it now."""
    if case.share_numerator is None or case.share_denominator is None:
        return share_at_stake(case.lot, list(doubts_behind(case.lot)))
    return Fraction(case.share_numerator, case.share_denominator)


def doubts_behind(lot: Lot) -> QuerySet[NodeDoubt]:
    model = NodeModel.objects.filter(pk=-lot.target_id).first()
    found: QuerySet[NodeDoubt] = NodeDoubt.objects.of(lot.org)
    if model is None:
        return found.none()
    return found.filter(node_id=model.node_id, upstream_id=model.upstream_id, day=lot.day).order_by("kind")


def doubts_behind_all(lots: Collection[Lot]) -> dict[int, list[NodeDoubt]]:
    """The same of many, by the lot's id, in two questions."""
    models = {-model.pk: model for model in NodeModel.objects.filter(pk__in=[-lot.target_id for lot in lots])}
    of_nodes = NodeDoubt.objects.filter(node__in={model.node_id for model in models.values()})
    found: dict[tuple[int, int, str, date], list[NodeDoubt]] = {}
    for doubt in of_nodes.filter(day__in={lot.day for lot in lots}).order_by("kind"):
        found.setdefault((doubt.org_id, doubt.node_id, doubt.upstream_id, doubt.day), []).append(doubt)
    places = {
        lot.pk: (lot.org_id, models[lot.target_id].node_id, models[lot.target_id].upstream_id, lot.day)
        for lot in lots
        if lot.target_id in models
    }
    return {lot.pk: found.get(places[lot.pk], []) if lot.pk in places else [] for lot in lots}


def look(now: datetime) -> int:
    """Opens a case for each lot that doubts put something of at stake. Returns: how many."""
    same = NodeModel.objects.filter(node=OuterRef("node"), upstream_id=OuterRef("upstream_id"))
    doubted = NodeDoubt.objects.filter(Exists(same), day__gte=(now - LOOKED_BACK).date())
    opened = 0
    for node_id, upstream_id, day in doubted.values_list("node_id", "upstream_id", "day").distinct():
        model = NodeModel.objects.get(node_id=node_id, upstream_id=upstream_id)
        lot = Lot.objects.select_related("org").filter(
            org=model.org_id, target_id=-model.pk, day=day, earned__gt=0, case=None
        ).first()  # fmt: skip
        if lot is not None and share_at_stake(lot, doubts_behind(lot)):
            opened += _open(lot, model, now)
    return opened


def cases_of(organization: Organization) -> QuerySet[Case]:
    found: QuerySet[Case] = Case.objects.of(organization)
    return found.select_related("lot", "node").order_by("-opened_at")


def answer(case: Case, actor: Actor, text: str) -> Case:
    """Raises: InvalidField, CaseClosed, NotPermitted."""
    text = text.strip()
    if not text or len(text) > LONGEST_ANSWER:
        message = _("Say what happened, in at most %(most)d characters.") % {"most": LONGEST_ANSWER}
        raise InvalidField.one("answer", message)
    with changing(case.org) as held:
        authority.require(held, actor, Permission.MANAGE_EARNINGS)
        row = _locked(case)
        before = {"state": row.state, "answer": row.answer}
        row.state, row.answer, row.answered_at = Case.ANSWERED, text, timezone.now()
        row.save(update_fields=["state", "answer", "answered_at"])
        after = {"state": row.state, "answer": row.answer}
        audit.record(
            held, actor, "earnings.case_answered", "earnings_case", row.public_id, before=before, after=after
        )
    return row


def dismiss(case: Case, actor: Actor, note: str = "") -> Case:
    """For staff: nothing was wrong. Raises: CaseClosed."""
    with changing(case.org) as held:
        row = _decided(_locked(case), Case.DISMISSED, actor, note)
        row.save()
        about = {"state": row.state, "note": note}
        audit.record(held, actor, "earnings.case_dismissed", "earnings_case", row.public_id, after=about)
    return row


def uphold(case: Case, actor: Actor, note: str = "") -> Case:
    """For staff and the clock: takes back what is at stake. Raises: CaseClosed."""
    with changing(case.org) as held:
        row = _decided(_locked(case), Case.UPHELD, actor, note)
        share = share_at_stake(row.lot, list(doubts_behind(row.lot)))
        row.share_numerator, row.share_denominator = share.numerator, share.denominator
        taken = clawback.take_back(row, share)
        row.taken, row.refunded, row.transfer_id = taken.owner, taken.refunded, taken.transfer_id
        row.save()
        about = {"state": row.state, "note": note, "taken_usd": format_usd(row.taken)}
        audit.record(held, actor, "earnings.case_upheld", "earnings_case", row.public_id, after=about)
    return row


def uphold_unanswered(now: datetime) -> int:
    """Returns: how many."""
    overdue = Case.objects.filter(state=Case.OPEN, answer_until__lt=now).select_related("org")
    upheld = 0
    for case in overdue:
        uphold(case, Actor.system("earnings"), NO_ANSWER_CAME)
        upheld += 1
    return upheld


def _share(lot: Lot, doubt: NodeDoubt) -> Fraction:
    of_requests = Fraction(min(doubt.times, lot.requests), max(lot.requests, 1))
    if doubt.kind in COUNTS:
        excess = max(0, doubt.said_tokens - doubt.counted_tokens)
        return min(Fraction(excess, max(lot.tokens, excess, 1)), of_requests)
    if doubt.kind == TOO_FAST:
        return of_requests
    return Fraction(int(doubt.kind == WRONG_ANSWER and doubt.times >= WRONG_ANSWERS_FOR_A_CASE))


def _open(lot: Lot, model: NodeModel, now: datetime) -> bool:
    until = now + timedelta(days=int(settings.EARNINGS_ANSWER_DAYS))
    with changing(lot.org) as held:
        case, is_new = Case.objects.get_or_create(
            lot=lot,
            defaults={
                "org": held, "public_id": new_id("case"), "node_id": model.node_id, "upstream_id": model.upstream_id,
                "opened_at": now, "answer_until": until,
            },
        )  # fmt: skip
        if is_new:
            about = {"day": lot.day.isoformat(), "model": model.model_id}
            audit.record(
                held, Actor.system("earnings"), "earnings.case_opened", "earnings_case", case.public_id, after=about
            )
    return is_new


def _locked(case: Case) -> Case:
    row: Case = Case.objects.select_for_update(of=("self",)).select_related("lot", "org").get(pk=case.pk)
    if not row.is_pending:
        raise CaseClosed
    return row


def _decided(row: Case, state: str, actor: Actor, note: str) -> Case:
    row.state, row.decided_at, row.decided_by, row.note = state, timezone.now(), actor.label, note[:300]
    return row
