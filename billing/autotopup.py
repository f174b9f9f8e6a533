"""Buys credits by itself when the balance runs low: never twice for one order, never above the cap of the month.

    order    a top-up is committed as pending; an organisation has at most one such at a time
    charge   the saved card, with the order's own idempotency key; a second attempt asks Stripe first what came of it
    credit   by `crediting.agree`, as every payment: known by its id, however often it is told

A decline puts the next attempt off; after the last one, or when the bank wants its customer, it is off until a person
turns it on again. Both are told by e-mail and on the Billing page.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.audit import Actor
from accounts.errors import InvalidField
from accounts.models import Organization
from billing import client, client_cards, crediting, statements, topups
from billing.client import CENT_NANOS, Payment
from billing.errors import CardDeclined, CardMissing, PaymentGone, PaymentsAway, PaymentsOff, PaymentsRefused
from billing.models import AutoTopUp, SavedCard, TopUp
from billing.notices import tell_cap_reached, tell_declined
from common.ids import new_id
from common.money import format_usd
from ledger import kinds
from ledger.models import Account

PAUSES = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
"""After the first, second and third decline in a row; the fourth turns it off."""
NEEDS_ITS_OWNER = "authentication_required"
NO_PAYMENT, CARD_GONE = "not_paid", "card_gone"
ACTOR = Actor.system("automatic top-up")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wishes:
    """In US dollars, as somebody typed them."""

    is_on: bool
    threshold_usd: object
    amount_usd: object
    monthly_cap_usd: object


def rule_of(organization: Organization) -> AutoTopUp | None:
    return AutoTopUp.objects.of(organization).first()


def set_rule(organization: Organization, actor: Actor, wishes: Wishes) -> AutoTopUp:
    """Turning it on forgets earlier declines.

    Raises: InvalidField. CardMissing: it is to be on, and there is no card. PaymentsOff.
    """
    if not client.is_on():
        raise PaymentsOff
    about = _checked(wishes)
    with transaction.atomic():
        if wishes.is_on and not SavedCard.objects.of(organization).exists():
            raise CardMissing
        rule = AutoTopUp.objects.of(organization).select_for_update().first()
        before = told(rule) if rule else None
        rule = rule or AutoTopUp(org=organization)
        for name, cents in about.items():
            setattr(rule, name, cents)
        rule.is_on, rule.failures, rule.failure, rule.next_attempt_at = wishes.is_on, 0, "", None
        rule.cap_told_at = None
        rule.save()
        if told(rule) != before:
            audit.record(
                organization, actor, "billing.auto_top_up_set", "auto_top_up", organization.public_id,
                before=before, after=told(rule),
            )  # fmt: skip
    return rule


def spent_cents(organization: Organization, now: datetime) -> int:
    """By automatic top-ups of this calendar month, those under way included."""
    mine = TopUp.objects.of(organization).filter(is_automatic=True, created_at__gte=_month_of(now))
    return mine.exclude(state=TopUp.FAILED).aggregate(sum=Sum("cents"))["sum"] or 0


def run(now: datetime | None = None) -> int:
    """One round over all organisations. Returns: how many were ordered."""
    moment = now or timezone.now()
    for pk in list(TopUp.objects.filter(is_automatic=True, state=TopUp.PENDING).values_list("pk", flat=True)):
        charge(pk)
    ordered = [_order(pk, moment) for pk in _low(moment)]
    for order in filter(None, ordered):
        charge(order)
    return sum(order is not None for order in ordered)


def charge(pk: int) -> None:
    """Tries to be paid for an order. What is not known afterwards is asked by the next round."""
    with transaction.atomic():
        mine = TopUp.objects.select_for_update(skip_locked=True, of=("self",)).select_related("org")
        top_up = mine.filter(pk=pk, state=TopUp.PENDING).first()
        if top_up is None:
            return
        card = SavedCard.objects.of(top_up.org).first()
        try:
            if card is None:
                raise CardDeclined(CARD_GONE)
            payment = _paid(top_up, card)
            if payment is not None and payment.is_paid:
                crediting.agree(payment.id)
                AutoTopUp.objects.of(top_up.org).update(failures=0, failure="", next_attempt_at=None)
        except (CardDeclined, PaymentsRefused, PaymentGone) as refusal:
            _declined(top_up, card, getattr(refusal, "reason", "") or CARD_GONE)
        except (PaymentsAway, PaymentsOff) as error:
            logger.warning("billing: top-up %s waits: %s", top_up.public_id, error.__cause__)


def _paid(top_up: TopUp, card: SavedCard) -> Payment | None:
    """None while Stripe itself does not know. Raises: CardDeclined."""
    customer = topups.customer_of(top_up.org)
    # An earlier attempt may have come through, whether or not Stripe still remembers its key.
    found = client_cards.find_charge(top_up.public_id, customer, top_up.created_at)
    if found is None:
        return client_cards.charge(top_up.public_id, customer, card.stripe_id, top_up.cents)
    payment, may_be_paid = found
    if payment.is_paid or may_be_paid:
        return payment
    raise CardDeclined(NO_PAYMENT)


def _declined(top_up: TopUp, card: SavedCard | None, reason: str) -> None:
    top_up.state, top_up.failure = TopUp.FAILED, reason[:60]
    top_up.save(update_fields=["state", "failure"])
    rule = AutoTopUp.objects.of(top_up.org).select_for_update(of=("self",)).select_related("org").first()
    if rule is None:
        return
    before = told(rule)
    rule.failure, rule.failures = reason[:60], rule.failures + 1
    is_last = rule.failures > len(PAUSES) or reason in (NEEDS_ITS_OWNER, CARD_GONE)
    rule.is_on = rule.is_on and not is_last
    rule.next_attempt_at = None if is_last else timezone.now() + PAUSES[rule.failures - 1]
    rule.save()
    audit.record(
        top_up.org, ACTOR, "billing.card_declined", "top_up", top_up.public_id,
        before=before, after=told(rule) | {"reason": rule.failure},
    )  # fmt: skip
    tell_declined(rule, f"{card.brand} •••• {card.last4}" if card else "")


def _low(now: datetime) -> list[int]:
    """Rules that are on, may try now, and whose wallet is below its threshold."""
    wallets = Account.objects.filter(kind=kinds.WALLET, currency=kinds.USD, reference="")
    due = AutoTopUp.objects.filter(is_on=True, org__deleted_at=None).exclude(next_attempt_at__gt=now)
    free = {row.org_id: row.balance - row.held for row in wallets.filter(org_id__in=due.values("org_id"))}
    return [rule.pk for rule in due if free.get(rule.org_id, 0) < rule.threshold_cents * CENT_NANOS]


def _order(pk: int, now: datetime) -> int | None:
    """Commits to buying, unless one is under way, the month's cap is reached, or nothing is low any more."""
    with transaction.atomic():
        rule = (
            AutoTopUp.objects.select_for_update(of=("self",)).select_related("org").filter(pk=pk, is_on=True).first()
        )
        if rule is None or statements.balance(rule.org).available >= rule.threshold_cents * CENT_NANOS:
            return None
        under_way = TopUp.objects.of(rule.org).filter(is_automatic=True, state=TopUp.PENDING)
        if under_way.exists() or not SavedCard.objects.of(rule.org).exists():
            return None
        if not has_room(rule, now):
            _tell_cap(rule, now)
            return None
        top_up = TopUp.objects.create(
            org=rule.org, public_id=new_id("top"), cents=rule.amount_cents, is_automatic=True
        )
        after = {"amount_usd": f"{rule.amount_cents / 100:.2f}"}
        audit.record(rule.org, ACTOR, "billing.top_up_ordered", "top_up", top_up.public_id, after=after)
        return top_up.pk


def _tell_cap(rule: AutoTopUp, now: datetime) -> None:
    """Once in a calendar month, and again when somebody changed the rule."""
    if rule.cap_told_at is None or rule.cap_told_at < _month_of(now):
        rule.cap_told_at = now
        rule.save(update_fields=["cap_told_at"])
        tell_cap_reached(rule, spent_cents(rule.org, now), statements.balance(rule.org).available)


def _month_of(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def has_room(rule: AutoTopUp, now: datetime) -> bool:
    return spent_cents(rule.org, now) + rule.amount_cents <= rule.monthly_cap_cents


def told(rule: AutoTopUp) -> dict[str, str | bool]:
    return {
        "on": rule.is_on,
        "threshold_usd": f"{rule.threshold_cents / 100:.2f}",
        "amount_usd": f"{rule.amount_cents / 100:.2f}",
        "monthly_cap_usd": f"{rule.monthly_cap_cents / 100:.2f}",
    }


def _checked(wishes: Wishes) -> dict[str, int]:
    wrong: dict[str, list[str]] = {}
    about = {}
    for name in ("threshold", "amount", "monthly_cap"):
        try:
            least = topups.LEAST_CENTS if name == "amount" else 100
            about[f"{name}_cents"] = topups.cents_of(f"{name}_usd", getattr(wishes, f"{name}_usd"), least)
        except InvalidField as refusal:
            wrong |= refusal.fields
    if not wrong and about["monthly_cap_cents"] < about["amount_cents"]:
        least_cap = {"amount": format_usd(about["amount_cents"] * CENT_NANOS)}
        wrong["monthly_cap_usd"] = [_("Allow at least one top-up of %(amount)s in a month.") % least_cap]
    if wrong:
        raise InvalidField(wrong)
    return about
