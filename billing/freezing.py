"""Which payouts there are to be: a month's batch, or the one that an organisation asks for.

What is frozen is held in the ledger by the same transaction, so the same money is never in two payouts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.audit import Actor
from accounts.models import Organization
from billing import payees
from billing.client import CENT_NANOS
from billing.errors import PayoutRefused
from billing.models import Payee, Payout, PayoutBatch
from billing.payouts import Mark, hold_name, open_payout, unmarked
from common.ids import new_id
from common.money import format_usd
from ledger import holds, kinds
from ledger.chart import ensure_account
from ledger.errors import NotCovered
from ledger.models import Account

NO_DESTINATION, NOT_VERIFIED, ONE_IS_OPEN, TOO_LITTLE = "no_destination", "not_verified", "one_is_open", "too_little"


def least_cents() -> int:
    return round(settings.PAYOUT_LEAST_USD * 100)


def payable_cents(organization: Organization) -> int:
    """Whole cents of what has matured and is not on its way already."""
    account = Account.objects.of(organization).filter(**_rewards()).first()
    return max(0, account.balance - account.held) // CENT_NANOS if account else 0


def request(organization: Organization, actor: Actor) -> Payout:
    """Freezes all there is. It is sent by the next round.

    Raises: PayoutRefused: says what is missing; nothing has moved.
    """
    payees.look_if_incomplete(organization)
    with transaction.atomic():
        payee = Payee.objects.of(organization).select_for_update().first()
        _refuse_unfit(organization, payee)
        assert payee is not None
        cents = payable_cents(organization)
        if cents < max(1, least_cents()):
            least = {"least": format_usd(least_cents() * CENT_NANOS), "there": format_usd(cents * CENT_NANOS)}
            raise PayoutRefused(
                TOO_LITTLE, _("The least that is paid out is %(least)s; matured are %(there)s.") % least
            )
        batch = PayoutBatch.objects.create(public_id=new_id("pb"), frozen_at=timezone.now())
        payout = _freeze(batch, payee, cents, asked_by=actor.label)
        audit.record(organization, actor, "payout.requested", "payout", payout.public_id, after=about(payout))
    return payout


def freeze_month(period: str, at: Mark = unmarked) -> PayoutBatch:
    """Every organisation that can be paid and has enough, once for each period; a second call adds nothing.

    Each payout is frozen in a transaction of its own. A call that died in the middle is taken up by the next one, and
    nothing is sent before the batch was frozen as a whole.

    Args: period: "2026-11".
    """
    batch, _made = PayoutBatch.objects.get_or_create(period=period, defaults={"public_id": new_id("pb")})
    at("opened")
    if batch.frozen_at is None:
        for payee in _payable():
            _freeze_one(batch, payee)
            at("frozen one")
        PayoutBatch.objects.filter(pk=batch.pk, frozen_at=None).update(frozen_at=timezone.now())
        batch.refresh_from_db()
    at("frozen")
    return batch


def period_at(moment: datetime) -> str:
    return f"{moment:%Y-%m}"


def _payable() -> Iterator[Payee]:
    rewards = Account.objects.filter(**_rewards(), balance__gte=F("held") + least_cents() * CENT_NANOS)
    fit = Payee.objects.filter(state=Payee.READY, is_monthly=True, org_id__in=rewards.values("org_id"))
    return fit.filter(org__deleted_at=None).select_related("org").order_by("pk").iterator(chunk_size=500)


def _freeze_one(batch: PayoutBatch, payee: Payee) -> None:
    cents = payable_cents(payee.org)
    if cents < max(1, least_cents()):
        return
    try:
        with transaction.atomic():
            if PayoutBatch.objects.select_for_update().get(pk=batch.pk).frozen_at is not None:
                return  # another has frozen it meanwhile
            held = Payee.objects.select_for_update(of=("self",)).select_related("org").get(pk=payee.pk)
            if held.state != Payee.READY or not held.is_monthly:
                return  # another destination was chosen meanwhile, which nobody has verified
            payout = _freeze(batch, held, cents)
            audit.record(
                held.org, Actor.system("payouts"), "payout.frozen", "payout", payout.public_id, after=about(payout)
            )
    except (IntegrityError, NotCovered):
        return  # one is open already, or what there was is held meanwhile: next month


def _freeze(batch: PayoutBatch, payee: Payee, cents: int, *, asked_by: str = "") -> Payout:
    payout = Payout.objects.create(
        org=payee.org, batch=batch, public_id=new_id("po"), method=payee.method, cents=cents,
        destination=payee.stripe_id or payee.hint, asked_by=asked_by[:254],
    )  # fmt: skip
    payout.refresh_from_db()
    rewards = ensure_account(kinds.REWARDS_AVAILABLE, payee.org)
    holds.reserve(hold_name(payout), rewards.pk, cents * CENT_NANOS)
    return payout


def about(payout: Payout) -> dict[str, str]:
    return {"amount_usd": f"{payout.cents / 100:.2f}", "method": payout.method, "destination": payout.destination}


def _refuse_unfit(organization: Organization, payee: Payee | None) -> None:
    if payee is None:
        raise PayoutRefused(NO_DESTINATION, _("Say first where you want to be paid."))
    if payee.state != Payee.READY:
        raise PayoutRefused(
            NOT_VERIFIED, _("Where you want to be paid is not verified yet. Your money stays where it is.")
        )
    if open_payout(organization) is not None:
        raise PayoutRefused(ONE_IS_OPEN, _("A payout is on its way already. Ask again when it has arrived."))


def _rewards() -> dict[str, str]:
    return {"kind": kinds.REWARDS_AVAILABLE, "currency": kinds.USD, "reference": ""}
