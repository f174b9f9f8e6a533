"""Where organisations are paid: an account at Stripe, which verifies it, or a bank, which the operator checks."""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache

import orjson
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.audit import Actor
from accounts.errors import InvalidField
from accounts.models import Organization
from billing import client, client_payouts
from billing.errors import PaymentGone, PaymentsAway, PaymentsOff, PaymentsRefused, PayoutRefused
from billing.models import Payee, Payout
from common.secrets import KeyRing

ACTION = "payout_destination.changed"
READ = "payout_destination.read"
CHANGING, OTHER = "one_is_open", "another_bank"
LONGEST = {"holder": 120, "account": 60, "bank": 120}
AT_ONCE = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bank:
    """Args: account: IBAN or number. bank: name and code (SWIFT, branch)."""

    holder: str
    account: str
    bank: str


def payee_of(organization: Organization) -> Payee | None:
    return Payee.objects.of(organization).first()


def onboard(organization: Organization, actor: Actor, country: str, email: str) -> str:
    """Chooses Stripe. Returns: the address of its page on which they say who they are.

    Raises: InvalidField: naming `country`. PayoutRefused: a payout is on its way. PaymentsOff, PaymentsAway.
    """
    if not client.is_on():
        raise PaymentsOff
    country = country.strip().upper()
    if len(country) != 2 or not country.isascii() or not country.isalpha():
        raise InvalidField.one("country", _("Give the two letters of the country, such as TH or DE."))
    payee = payee_of(organization)
    if payee is None or payee.method != Payee.STRIPE or payee.country != country or not payee.stripe_id:
        account = client_payouts.create_recipient(organization.public_id, organization.name, email, country)
        about = {"method": Payee.STRIPE, "stripe_id": account, "country": country, "sealed": None, "hint": ""}
        payee = _choose(organization, actor, **about)
    page = f"{settings.PUBLIC_URL}/payouts"
    return client_payouts.open_onboarding(str(payee.stripe_id), f"{page}?onboarded=1", page)


def set_bank(organization: Organization, actor: Actor, bank: Bank) -> Payee:
    """Chooses a bank, which the operator verifies. Raises: InvalidField, PayoutRefused."""
    wrong = {
        name: [_("Give 2 to %(most)s characters on one line.") % {"most": most}]
        for name, most in LONGEST.items()
        if not 2 <= len(getattr(bank, name).strip()) <= most or not getattr(bank, name).strip().isprintable()
    }
    if wrong:
        raise InvalidField(wrong)
    said = {name: getattr(bank, name).strip() for name in LONGEST}
    sealed = _keyring().seal(orjson.dumps(said), _aad(organization))
    hint = f"{said['bank'][:40]} •••• {said['account'][-4:]}"
    return _choose(organization, actor, method=Payee.BANK, sealed=sealed, hint=hint, stripe_id=None, country="")


def bank_of(payee: Payee) -> Bank:
    """For the operator's file. Raises: SecretsError."""
    assert payee.sealed is not None
    return Bank(**orjson.loads(_keyring().open(bytes(payee.sealed), _aad(payee.org))))


def read_bank(payee: Payee, actor: Actor) -> Bank:
    """For a person of the operator's, which the organisation finds in its audit log. Raises: SecretsError."""
    with transaction.atomic():
        audit.record(payee.org, actor, READ, "payee", payee.org.public_id, after={"to": payee.hint})
    return bank_of(payee)


def set_monthly(organization: Organization, actor: Actor, is_monthly: bool) -> Payee:
    """Raises: PayoutRefused: there is no destination yet."""
    with transaction.atomic():
        payee = Payee.objects.of(organization).select_for_update().first()
        if payee is None:
            raise PayoutRefused("no_destination", _("Say first where you want to be paid."))
        if payee.is_monthly != is_monthly:
            before = told(payee)
            payee.is_monthly = is_monthly
            payee.save(update_fields=["is_monthly", "updated_at"])
            audit.record(
                organization, actor, ACTION, "payee", organization.public_id, before=before, after=told(payee)
            )
    return payee


def look_again(organization: Organization, actor: Actor | None = None) -> Payee | None:
    """What Stripe says of the account now. Raises: PaymentsOff, PaymentsAway."""
    payee = payee_of(organization)
    if payee is None or payee.method != Payee.STRIPE or payee.stripe_id is None:
        return payee
    try:
        found = client_payouts.recipient(payee.stripe_id)
        state, problem = Payee.READY if found.takes_transfers else Payee.INCOMPLETE, found.problem
    except PaymentGone:
        state, problem = Payee.INCOMPLETE, "account_gone"
    return _judge(organization, state, problem, actor or Actor.system("payouts"))


def look_if_incomplete(organization: Organization) -> None:
    """Before it is refused for not being verified: Stripe may have verified it meanwhile."""
    payee = payee_of(organization)
    if payee is not None and payee.state == Payee.INCOMPLETE:
        with suppress(PaymentsOff, PaymentsAway):
            look_again(organization)


def look_at_incomplete() -> int:
    """One round: Stripe verifies for days, and need not tell. Returns: how many are verified now.

    Those that were looked at longest ago come first, so that many which are never completed keep nobody waiting.
    """
    waiting = Payee.objects.filter(method=Payee.STRIPE, state=Payee.INCOMPLETE, stripe_id__isnull=False)
    ready = 0
    for payee in waiting.select_related("org").order_by(F("looked_at").asc(nulls_first=True), "pk")[:AT_ONCE]:
        Payee.objects.filter(pk=payee.pk).update(looked_at=timezone.now())
        try:
            found = look_again(payee.org)
        except PaymentsRefused as refusal:
            logger.warning("billing: the account of %s cannot be read: %s", payee.org.public_id, refusal.reason)
            continue
        except (PaymentsOff, PaymentsAway):
            break  # of nobody: the next round goes on with the others
        ready += found is not None and found.state == Payee.READY
    return ready


def agree_account(stripe_id: str) -> bool:
    """Something changed at an account. Returns: whether it is one of ours. Raises: PaymentsAway."""
    payee = Payee.objects.select_related("org").filter(method=Payee.STRIPE, stripe_id=stripe_id).first()
    if payee is None:
        return False
    look_again(payee.org)
    return True


def seen_of(payee: Payee) -> str:
    """Names these very details, for who has read them: a judgement is of them and of no others."""
    return hashlib.sha256(orjson.dumps([payee.org.public_id, *asdict(bank_of(payee)).values()])).hexdigest()[:32]


def verify(
    organization: Organization, actor: Actor, *, is_right: bool, problem: str = "", seen: str | None = None
) -> Payee | None:
    """The operator has checked the bank. Raises: PayoutRefused: it is another than was `seen`."""
    with transaction.atomic():
        payee = Payee.objects.of(organization).select_for_update().first()
        if seen is not None and (payee is None or payee.sealed is None or seen_of(payee) != seen):
            raise PayoutRefused(OTHER, _("This is not the bank that you have read. Look at it again."))
        return _judge(organization, Payee.READY if is_right else Payee.INCOMPLETE, problem, actor)


def doubt(org_id: int) -> None:
    """Stripe refused to pay there: it has to be looked at before the next time."""
    Payee.objects.filter(org_id=org_id).update(state=Payee.INCOMPLETE, problem="refused")


def told(payee: Payee) -> dict[str, str | bool]:
    """Without secrets."""
    where = payee.stripe_id or payee.hint
    return {"method": payee.method, "to": where, "state": payee.state, "monthly": payee.is_monthly}


def _choose(organization: Organization, actor: Actor, **fields: object) -> Payee:
    with transaction.atomic():
        payee = Payee.objects.of(organization).select_for_update().first()
        if Payout.objects.of(organization).filter(state__in=Payout.OPEN).exists():
            raise PayoutRefused(CHANGING, _("A payout is on its way. Change the destination when it has arrived."))
        before = told(payee) if payee else None
        payee = payee or Payee(org=organization)
        for name, value in (fields | {"state": Payee.INCOMPLETE, "problem": ""}).items():
            setattr(payee, name, value)
        payee.save()
        audit.record(organization, actor, ACTION, "payee", organization.public_id, before=before, after=told(payee))
    return payee


def _judge(organization: Organization, state: str, problem: str, actor: Actor) -> Payee | None:
    with transaction.atomic():
        payee = Payee.objects.of(organization).select_for_update().first()
        if payee is not None and (payee.state, payee.problem) != (state, problem):
            before = told(payee)
            payee.state, payee.problem = state, problem[:200]
            payee.save(update_fields=["state", "problem", "updated_at"])
            if before != told(payee):
                audit.record(
                    organization, actor, ACTION, "payee", organization.public_id, before=before, after=told(payee)
                )
    return payee


def seal_anew() -> int:
    """With the ring's newest key. Returns: how many were. Raises: SecretsError."""
    done = 0
    for pk in list(Payee.objects.filter(sealed__isnull=False).order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            payee = Payee.objects.select_for_update(of=("self",)).select_related("org").get(pk=pk)
            if payee.sealed is not None and _keyring().needs_rotation(bytes(payee.sealed)):
                plain = _keyring().open(bytes(payee.sealed), _aad(payee.org))
                payee.sealed = _keyring().seal(plain, _aad(payee.org))
                payee.save(update_fields=["sealed"])
                done += 1
    return done


@cache
def _keyring() -> KeyRing:
    return KeyRing.parse(settings.KEYRING)


def _aad(organization: Organization) -> str:
    return f"billing_payee|{organization.public_id}"
