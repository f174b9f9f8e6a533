"""Codes for credits: made by the operator's staff, redeemed once by each organisation, as often as made for.

A code is told once, to who makes it; its digest is kept, so a stolen database gives no credits. Wrong tries are
counted for each organisation, since codes that people choose can be guessed.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import DecimalField, F, Q, QuerySet, Sum
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.audit import Actor
from accounts.errors import InvalidField
from accounts.fields import cleaned_expiry, cleaned_name
from accounts.models import AuditEvent, Membership, Organization
from billing.client import CENT_NANOS
from billing.errors import VoucherRefused
from billing.models import Voucher, VoucherUse
from common.ids import new_id
from common.money import NANOS_PER_USD, format_usd
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.transfers import post

VOUCHER, BATCH = "voucher", "voucher_batch"
MADE, WITHDREW, OFFERED_AGAIN = "voucher.made", "voucher.withdrawn", "voucher.offered_again"
REDEEMED, TRIED = "billing.voucher_redeemed", "billing.voucher_refused"
UNKNOWN, EXPIRED, USED_UP, WITHDRAWN, USED_HERE, TOO_OFTEN = (
    "unknown", "expired", "used_up", "withdrawn", "used_here", "too_often",
)  # fmt: skip
OPEN = "open"
STATES = (OPEN, USED_UP, EXPIRED, WITHDRAWN)
MOST_TRIES, TRIES_OVER = 10, timedelta(hours=1)
ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
CODE = re.compile(r"[A-Z0-9]{6,40}")


@dataclass(frozen=True, slots=True)
class Made:
    """`code` is shown once."""

    voucher: Voucher
    code: str


MOST_AT_ONCE = 1_000
MOST_USES = 1_000_000
MOST_USD = 100_000
LONGEST_REASON = 120


class MadeAlready(Exception):
    """The same wish came before. `first` is the first voucher of what was made then; its code is told no more."""

    def __init__(self, first: Voucher) -> None:
        super().__init__(first.public_id)
        self.first = first


def new_batch() -> str:
    """A name for a wish that is to be fulfilled once, however often it arrives."""
    return new_id("vob")


def make_batch(
    count: int,
    nanos: int,
    actor: Actor,
    *,
    uses: int,
    reason: str,
    expires_at: datetime | None = None,
    batch: str = "",
) -> list[Made]:
    """So many with codes of chance, known together by `batch`. Raises: InvalidField, MadeAlready."""
    if not 1 <= count <= MOST_AT_ONCE:
        raise InvalidField.one("count", _("Make 1 to %(most)d at once.") % {"most": MOST_AT_ONCE})
    batch = batch or new_batch()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"billing.vouchers.{batch}"])
        if (first := Voucher.objects.filter(batch=batch).order_by("pk").first()) is not None:
            raise MadeAlready(first)
        made = [
            _made(nanos, actor, uses, reason, expires_at, code=_by_chance(), batch=batch) for _number in range(count)
        ]
        about = _about(made[0].voucher) | {"vouchers": count}
        audit.record(None, actor, MADE, BATCH, batch, label=made[0].voucher.reason, after=about)
    return made


def make(
    nanos: int, actor: Actor, *, uses: int, reason: str, expires_at: datetime | None = None, code: str = ""
) -> Made:
    """Args: code: chosen by hand; without one, 75 bits of chance. Raises: InvalidField."""
    with transaction.atomic():
        made = _made(nanos, actor, uses, reason, expires_at, code=code.strip().upper() or _by_chance())
        voucher = made.voucher
        audit.record(None, actor, MADE, VOUCHER, voucher.public_id, label=voucher.reason, after=_about(voucher))
    return made


def _made(
    nanos: int, actor: Actor, uses: int, reason: str, expires_at: datetime | None, *, code: str, batch: str = ""
) -> Made:
    about = _cleaned(nanos, uses, reason, expires_at)
    if not CODE.fullmatch(normal(code)):
        raise InvalidField.one("code", _("A code has 6 to 40 letters and digits."))
    try:
        with transaction.atomic():
            voucher = Voucher.objects.create(
                public_id=new_id("vou"), digest=_digest(code), hint=normal(code)[-4:],
                made_by=actor.label[:120], batch=batch, **about,
            )  # fmt: skip
    except IntegrityError:
        raise InvalidField.one("code", _("There is a voucher with this code already.")) from None
    return Made(voucher, code)


def _cleaned(nanos: int, uses: int, reason: str, expires_at: datetime | None) -> dict[str, Any]:
    if not 0 < nanos <= MOST_USD * NANOS_PER_USD or nanos % CENT_NANOS:
        most = {"most": format_usd(MOST_USD * NANOS_PER_USD)}
        raise InvalidField.one("amount_usd", _("Give each whole cents, more than none and at most %(most)s.") % most)
    if not 0 < uses <= MOST_USES:
        raise InvalidField.one("uses", _("Give 1 to %(most)d uses.") % {"most": MOST_USES})
    if not reason.strip():
        raise InvalidField.one("reason", _("Say why: whoever redeems a code reads it."))
    return {
        "nanos": nanos, "uses": uses, "reason": cleaned_name(reason, longest=LONGEST_REASON, field="reason"),
        "expires_at": cleaned_expiry(expires_at, timezone.now()),
    }  # fmt: skip


def _by_chance() -> str:
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(5)) for _ in range(3))


def _about(voucher: Voucher) -> dict[str, Any]:
    return {
        "amount_usd": format_usd(voucher.nanos), "uses": voucher.uses, "reason": voucher.reason,
        "expires_at": voucher.expires_at,
    }  # fmt: skip


def found(words: str = "", state: str = "") -> QuerySet[Voucher]:
    """What staff look for, the newest first.

    Args:
        words: of a reason or its maker; a batch, a voucher, or a code, of which the last four letters are known.
        state: one of `STATES`; any where it is none.
    """
    rows = Voucher.objects.order_by("-pk")
    if words:
        rows = rows.filter(
            Q(reason__icontains=words) | Q(made_by__icontains=words) | Q(hint=normal(words)[-4:]) | Q(public_id=words)
            | Q(batch=words)
        )  # fmt: skip
    gone = Q(expires_at__lte=timezone.now(), expires_at__isnull=False)
    unspent = Q(withdrawn_at=None, used__lt=F("uses"))
    narrowed = {
        OPEN: unspent & ~gone,
        EXPIRED: unspent & gone,
        USED_UP: Q(withdrawn_at=None, used__gte=F("uses")),
        WITHDRAWN: Q(withdrawn_at__isnull=False),
    }
    return rows.filter(narrowed.get(state, Q()))


def state_of(voucher: Voucher) -> str:
    if voucher.withdrawn_at is not None:
        return WITHDRAWN
    if voucher.used >= voucher.uses:
        return USED_UP
    if voucher.expires_at is not None and voucher.expires_at <= timezone.now():
        return EXPIRED
    return OPEN


def redeemed_nanos() -> int:
    """Of all of them together."""
    exact = DecimalField(max_digits=40, decimal_places=0)  # BIGINT may hold each, and not their sum
    return int(Voucher.objects.aggregate(sum=Sum(Cast("nanos", exact) * Cast("used", exact)))["sum"] or 0)


def withdraw(public_id: str, actor: Actor) -> bool:
    """What was redeemed stays. Returns: whether there was one to withdraw."""
    return bool(_withdraw(Voucher.objects.filter(public_id=public_id), actor, VOUCHER, public_id))


def withdraw_batch(batch: str, actor: Actor) -> int:
    """Returns: how many there were to withdraw."""
    return _withdraw(Voucher.objects.filter(batch=batch), actor, BATCH, batch)


def _withdraw(vouchers: QuerySet[Voucher], actor: Actor, what: str, which: str) -> int:
    with transaction.atomic():
        now = timezone.now()
        done = vouchers.filter(withdrawn_at=None).update(withdrawn_at=now, withdrawn_by=actor.label[:254])
        if done:
            audit.record(None, actor, WITHDREW, what, which, after={"vouchers": done})
    return done


def offer_again(public_id: str, actor: Actor) -> bool:
    """Takes a withdrawal back. Returns: whether there was one."""
    with transaction.atomic():
        withdrawn = Voucher.objects.select_for_update().filter(public_id=public_id).exclude(withdrawn_at=None).first()
        if withdrawn is None:
            return False
        before = {"withdrawn_at": withdrawn.withdrawn_at, "withdrawn_by": withdrawn.withdrawn_by}
        withdrawn.withdrawn_at, withdrawn.withdrawn_by = None, ""
        withdrawn.save(update_fields=["withdrawn_at", "withdrawn_by"])
        audit.record(None, actor, OFFERED_AGAIN, VOUCHER, public_id, before=before)
    return True


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
