"""Vouchers, for staff: made in batches, listed, withdrawn, and who redeemed them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import current
from accounts.audit import Actor
from accounts.errors import InvalidField
from billing import vouchers
from billing.models import Voucher, VoucherUse
from billing.vouchers import Made, MadeAlready
from common.cells import csv_line
from common.money import nanos_from_usd, usd_text
from console import shown_once
from console.downloads import csv_download
from console.forms.staff import VoucherBatchForm
from console.pages.causes import for_staff

_SHOWN = 200
_COLUMNS = (
    "voucher", "batch", "code_ends_with", "amount_usd", "uses", "used", "state", "reason", "made_by", "made_at",
    "expires_at", "withdrawn_at", "organization", "redeemed_at",
)  # fmt: skip


@never_cache
@require_GET
@for_staff
def index(request: HttpRequest) -> HttpResponse:
    found, asked = _asked(request)
    context = {
        "rows": [(voucher, vouchers.state_of(voucher)) for voucher in found[:_SHOWN]],
        "total": found.count(),
        "shown_most": _SHOWN,
        "has_any": Voucher.objects.exists(),
        "given_nanos": vouchers.redeemed_nanos(),
        **asked,
    }
    return render(request, "staff/vouchers.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
@for_staff
def create(request: HttpRequest) -> HttpResponse:
    current.require_recent_authentication(request)
    form = VoucherBatchForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            return _shown_once(request, _make(form.cleaned_data, current.actor_of(request)))
        except InvalidField as refusal:
            form.absorb(refusal)
        except MadeAlready as already:
            return redirect("staff-vouchers-made", already.first.public_id)
    return render(request, "staff/vouchers_new.html", {"form": form}, status=422 if form.errors else 200)


@never_cache
@require_http_methods(["GET", "POST"])
@for_staff
def made(request: HttpRequest, public_id: str) -> HttpResponse:
    """The codes, for who made them, until they are stored. Args: public_id: of the first of them."""
    first = get_object_or_404(Voucher, public_id=public_id)
    if request.method == "POST":
        shown_once.forget(request, public_id)
        return redirect("staff-vouchers")
    codes = shown_once.find(request, public_id)
    siblings = Voucher.objects.filter(batch=first.batch).order_by("pk") if first.batch else [first]
    rows = [(code, one.public_id, usd_text(one.nanos)) for code, one in zip(codes, siblings, strict=False)]
    lines = "".join(map(csv_line, [("code", "voucher", "amount_usd"), *rows]))
    context = {
        "codes": codes,
        "first": first,
        "count": len(siblings),
        "file_name": f"codes-{first.created_at:%Y-%m-%d}.csv",
        "file_href": "data:text/csv;charset=utf-8," + quote(lines),
    }
    return render(request, "staff/vouchers_made.html", context)


@never_cache
@require_GET
@for_staff
def detail(request: HttpRequest, public_id: str) -> HttpResponse:
    voucher = get_object_or_404(Voucher, public_id=public_id)
    uses = VoucherUse.objects.filter(voucher=voucher).select_related("org").order_by("-pk")
    siblings = Voucher.objects.filter(batch=voucher.batch) if voucher.batch else Voucher.objects.none()
    context = {
        "voucher": voucher,
        "state": vouchers.state_of(voucher),
        "uses": uses[:_SHOWN],
        "siblings": siblings.exclude(pk=voucher.pk).count(),
        "open_siblings": siblings.filter(withdrawn_at=None).count(),
    }
    return render(request, "staff/voucher.html", context)


@require_POST
@for_staff
def withdraw(request: HttpRequest, public_id: str) -> HttpResponse:
    """Withdraws it, or all of its batch; or offers it again."""
    voucher, actor = get_object_or_404(Voucher, public_id=public_id), current.actor_of(request)
    wish = request.POST.get("wish")
    if wish == "again":
        vouchers.offer_again(public_id, actor)
        messages.success(request, _("It can be redeemed again."))
    elif wish == "batch" and voucher.batch:
        done = vouchers.withdraw_batch(voucher.batch, actor)
        said = ngettext("%(n)d voucher was withdrawn.", "%(n)d vouchers were withdrawn.", done) % {"n": done}
        messages.success(request, said)
    else:
        vouchers.withdraw(public_id, actor)
        messages.success(request, _("Withdrawn. What was redeemed stays."))
    return redirect("staff-voucher", public_id)


@require_GET
@for_staff
def export(request: HttpRequest) -> HttpResponse:
    """What the filters leave, with a line for each use; without codes, which nobody keeps."""
    found, _asked_for = _asked(request)
    return csv_download(f"vouchers-{timezone.now():%Y-%m-%d}.csv", _csv_rows(found))


def _csv_rows(found: QuerySet[Voucher]) -> Iterator[Iterable[object]]:
    yield _COLUMNS
    uses: dict[int, list[VoucherUse]] = {}
    for use in VoucherUse.objects.filter(voucher__in=found).select_related("org").order_by("pk"):
        uses.setdefault(use.voucher_id, []).append(use)
    for voucher in found:
        for redeemed in uses.get(voucher.pk, [None]):
            yield _cells(voucher, redeemed)


def _shown_once(request: HttpRequest, done: Sequence[Made]) -> HttpResponse:
    first = done[0].voucher.public_id
    shown_once.keep(request, first, [one.code for one in done])
    return redirect("staff-vouchers-made", first)


def _make(said: dict[str, Any], actor: Actor) -> list[Made]:
    """Raises: InvalidField, MadeAlready."""
    nanos, about = nanos_from_usd(said["amount_usd"]), {"uses": said["uses"], "reason": said["reason"]}
    if said["code"]:
        return [vouchers.make(nanos, actor, **about, expires_at=said["until"], code=said["code"])]
    return vouchers.make_batch(said["count"], nanos, actor, **about, expires_at=said["until"], batch=said["batch"])


def _asked(request: HttpRequest) -> tuple[QuerySet[Voucher], dict[str, str]]:
    words, state = request.GET.get("q", "").strip()[:120], request.GET.get("state", "")
    state = state if state in vouchers.STATES else ""
    return vouchers.found(words, state), {"q": words, "state": state}


def _cells(voucher: Voucher, redeemed: VoucherUse | None) -> list[object]:
    whose = [redeemed.org.name, redeemed.used_at] if redeemed else [None, None]
    return [
        voucher.public_id, voucher.batch, voucher.hint, usd_text(voucher.nanos), voucher.uses, voucher.used,
        vouchers.state_of(voucher), voucher.reason, voucher.made_by, voucher.created_at, voucher.expires_at,
        voucher.withdrawn_at, *whose,
    ]  # fmt: skip
