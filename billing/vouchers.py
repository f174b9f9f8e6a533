"""Codes for credits: made by the operator's staff, redeemed once by each organisation, as often as made for.

A code is told once, to who makes it; its digest is kept, so a stolen database gives no credits. Wrong tries are
counted for each organisation, since codes that people choose can be guessed.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.audit import Actor
from accounts.errors import InvalidField
from accounts.models import AuditEvent, Membership, Organization
from billing.errors import VoucherRefused
from billing.models import Voucher, VoucherUse
from common.ids import new_id
from common.money import MAX_NANOS, format_usd
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.transfers import post

VOUCHER = "voucher"
REDEEMED, TRIED = "billing.voucher_redeemed", "billing.voucher_refused"
UNKNOWN, EXPIRED, USED_UP, WITHDRAWN, USED_HERE, TOO_OFTEN = (
    "unknown", "expired", "used_up", "withdrawn", "used_here", "too_often",
)  # fmt: skip
MOST_TRIES, TRIES_OVER = 10, timedelta(hours=1)
ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
CODE = re.compile(r"[A-Z0-9]{6,40}")


@dataclass(frozen=True, slots=True)
class Made:
    """`code` is shown once."""

    voucher: Voucher
    code: str


MOST_AT_ONCE = 1_000

logger = logging.getLogger(__name__)


def make_batch(
    count: int, nanos: int, *, uses: int, reason: str, made_by: str, expires_at: datetime | None = None
) -> list[Made]:
    """So many with codes of chance, known together by `batch`. Raises: InvalidField."""
    if not 1 <= count <= MOST_AT_ONCE:
        raise InvalidField.one("count", _("Make 1 to %(most)d at once.") % {"most": MOST_AT_ONCE})
    batch = new_id("vob")
    with transaction.atomic():
        made = [
            make(nanos, uses=uses, reason=reason, made_by=made_by, expires_at=expires_at, batch=batch)
            for _number in range(count)
        ]
    logger.info("vouchers: batch %s of %s made by %s", batch, count, made_by)
    return made


def make(
    nanos: int,
    *,
    uses: int,
    reason: str,
    made_by: str,
    expires_at: datetime | None = None,
    code: str = "",
    batch: str = "",
) -> Made:
    """Args: code: chosen by hand; without one, 75 bits of chance. Raises: InvalidField."""
    shown = code.strip().upper() or "-".join("".join(secrets.choice(ALPHABET) for _ in range(5)) for _ in range(3))
    if not CODE.fullmatch(normal(shown)):
        raise InvalidField.one("code", _("A code has 6 to 40 letters and digits."))
    if not 0 < nanos <= MAX_NANOS or not 0 < uses <= 1_000_000 or not reason.strip():
        raise InvalidField.one("amount_usd", _("A voucher needs an amount, a number of uses and a reason."))
    try:
        with transaction.atomic():
            voucher = Voucher.objects.create(
                public_id=new_id("vou"), digest=_digest(shown), hint=normal(shown)[-4:], nanos=nanos, uses=uses,
                reason=reason.strip()[:120], made_by=made_by[:120], expires_at=expires_at, batch=batch,
            )  # fmt: skip
    except IntegrityError:
        raise InvalidField.one("code", _("There is a voucher with this code already.")) from None
    return Made(voucher, shown)


def withdraw(public_id: str, by: str = "operator") -> bool:
    """What was redeemed stays. Returns: whether there was one to withdraw."""
    return bool(_withdraw(Voucher.objects.filter(public_id=public_id), by))


def withdraw_batch(batch: str, by: str) -> int:
    """Returns: how many there were to withdraw."""
    return _withdraw(Voucher.objects.filter(batch=batch), by)


def _withdraw(vouchers: QuerySet[Voucher], by: str) -> int:
    done = vouchers.filter(withdrawn_at=None).update(withdrawn_at=timezone.now(), withdrawn_by=by[:254])
    if done:
        logger.info("vouchers: %s withdrawn by %s", done, by)
    return done


def offer_again(public_id: str, by: str) -> bool:
    """Takes a withdrawal back. Returns: whether there was one."""
    withdrawn = Voucher.objects.filter(public_id=public_id).exclude(withdrawn_at=None)
    done = withdrawn.update(withdrawn_at=None, withdrawn_by="")
    if done:
        logger.info("vouchers: %s offered again by %s", public_id, by)
    return bool(done)


def redeem(organization: Organization, actor: Actor, code: str) -> Voucher:
    """Credits the wallet, once for each organisation, however many ask at once.

    Raises: VoucherRefused: `reason` says why; a wrong try is counted.
    """
    if _tries(organization, actor) >= MOST_TRIES:
        raise VoucherRefused(TOO_OFTEN, _("Too many codes were wrong. Try again in an hour."))
    try:
        return _redeemed(organization, actor, code)
    except VoucherRefused as refusal:
        if refusal.reason == UNKNOWN:
            with transaction.atomic():
                about = {"reason": refusal.reason}
                audit.record(organization, actor, TRIED, VOUCHER, organization.public_id, after=about)
        raise


def _redeemed(organization: Organization, actor: Actor, code: str) -> Voucher:
    with transaction.atomic():
        # Locked: whoever redeems it at the same time waits here, and finds one use less.
        voucher = Voucher.objects.select_for_update().filter(digest=_digest(code)).first()
        if voucher is None:
            raise VoucherRefused(UNKNOWN, _("There is no such code. Look for typing errors."))
        _refuse_spent(organization, voucher)
        VoucherUse.objects.create(org=organization, voucher=voucher)
        voucher.used += 1
        voucher.save(update_fields=["used"])
        wallet, promo = ensure_account(kinds.WALLET, organization), ensure_account(kinds.PROMO)
        moves = {promo.pk: -voucher.nanos, wallet.pk: voucher.nanos}
        name = f"{VOUCHER}:{voucher.public_id}:{organization.public_id}"
        post(Draft(name, VOUCHER, moves, reason=voucher.reason))
        about = {"amount_usd": format_usd(voucher.nanos), "reason": voucher.reason, "code": f"…{voucher.hint}"}
        audit.record(organization, actor, REDEEMED, VOUCHER, voucher.public_id, after=about)
    return voucher


def _refuse_spent(organization: Organization, voucher: Voucher) -> None:
    if VoucherUse.objects.of(organization).filter(voucher=voucher).exists():
        raise VoucherRefused(USED_HERE, _("This organisation has redeemed this code already."))
    if voucher.withdrawn_at is not None:
        raise VoucherRefused(WITHDRAWN, _("This code was withdrawn."))
    if voucher.expires_at is not None and voucher.expires_at <= timezone.now():
        raise VoucherRefused(EXPIRED, _("This code has expired."))
    if voucher.used >= voucher.uses:
        raise VoucherRefused(USED_UP, _("This code has been redeemed as often as it can be."))


def normal(code: str) -> str:
    """As people type it: case, spaces and dashes do not matter."""
    return re.sub(r"[\s\-]", "", code).upper()


def _digest(code: str) -> bytes:
    return hashlib.sha256(f"shareai voucher {normal(code)}".encode(errors="replace")).digest()


def _tries(organization: Organization, actor: Actor) -> int:
    """Also in the person's other organisations, of which everybody can found any number, and delete them."""
    tried = Q(org=organization)
    if actor.type == "user":
        tried |= Q(org__in=Membership.objects.filter(user=int(actor.id)).values("org"), actor_id=actor.id)
    recent = AuditEvent.objects.filter(tried, at__gte=timezone.now() - TRIES_OVER)
    return recent.filter(action=TRIED).count()
