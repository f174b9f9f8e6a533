"""API keys: the list, a key shown once, its settings, rotation, revocation."""

from __future__ import annotations

from urllib.parse import quote

from django.conf import settings
from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts import current, keys
from accounts.errors import InvalidField, KeyNotActive
from accounts.keys import PlainKey
from accounts.models import ApiKey
from accounts.roles import Permission
from common.errors import CodedError
from console import offers
from console.forms.keys import KeyForm, RotateForm, initial_of
from console.snippets import PLACEHOLDER_KEY, env_file, first_call
from console.visit import Visit, page

STATES = ("active", "ended", "all")


@require_GET
@page(Permission.VIEW)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    state = request.GET.get("state", "active")
    words = request.GET.get("q", "").strip()
    shown = _matching(_keys(visit), state, words)
    context = {
        "keys": list(shown.select_related("created_by").order_by("-created_at")[:500]),
        "now": timezone.now(),
        "state": state,
        "q": words,
        "has_any": _keys(visit).exists(),
        "may_create": _may_create(visit),
    }
    return render(request, "keys/index.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.VIEW)
def create(request: HttpRequest, visit: Visit) -> HttpResponse:
    if not _may_create(visit):
        visit.require(Permission.MANAGE_KEYS)
    current.require_recent_authentication(request)
    form = KeyForm(request.POST or None, may_manage=visit.allows(Permission.MANAGE_KEYS))
    if request.method == "POST" and form.is_valid():
        try:
            made = keys.create_key(visit.organization, visit.actor, created_by=visit.user, **form.wanted())
            return _shown_once(request, visit, made)
        except InvalidField as refusal:
            form.absorb(refusal)
    status = 422 if form.is_bound else 200
    return render(request, "keys/create.html", {"form": form, "models": offers.model_names(visit)}, status=status)


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.VIEW)
def detail(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    key = _get(visit, public_id)
    if request.method == "POST":
        current.require_recent_authentication(request)
    form = KeyForm(request.POST or None, initial=initial_of(key), may_manage=visit.allows(Permission.MANAGE_KEYS))
    if request.method == "POST" and form.is_valid():
        try:
            keys.update_key(key, visit.actor, **form.wanted())
            messages.success(request, _("Saved. Every gateway process knows within a second."))
            return redirect("keys-detail", public_id=public_id)
        except (InvalidField, KeyNotActive) as refusal:
            form.absorb(refusal)
    context = _about(visit, key) | {"form": form}
    return render(request, "keys/detail.html", context, status=422 if form.errors else 200)


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.VIEW)
def rotate(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    key = _get(visit, public_id)
    _require_change(visit, key)
    current.require_recent_authentication(request)
    form = RotateForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = keys.rotate_key(key, visit.actor, overlap_s=form.cleaned_data["overlap_s"])
            return _shown_once(request, visit, made, replaced=key)
        except CodedError as refusal:
            form.absorb(refusal)
    return render(request, "keys/rotate.html", {"key": key, "form": form}, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@page(Permission.VIEW)
def revoke(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    key = _get(visit, public_id)
    _require_change(visit, key)
    if request.method == "POST":
        keys.revoke_key(key, visit.actor)
        messages.success(request, _("“%(name)s” is revoked.") % {"name": key.name})
        return redirect("keys")
    return render(request, "keys/revoke.html", _about(visit, key))


@never_cache
@require_GET
@page(Permission.VIEW)
def first_use(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    """The fragment that waits for the first request and turns green."""
    return render(request, "keys/_first_use.html", {"key": _get(visit, public_id)})


def _shown_once(request: HttpRequest, visit: Visit, made: PlainKey, replaced: ApiKey | None = None) -> HttpResponse:
    base_url = f"{settings.PUBLIC_URL}/v1"
    context = {
        "key": made.key,
        "plain": made.plain,
        "replaced": replaced,
        "base_url": base_url,
        "snippets": first_call(base_url, made.plain, offers.first_model(visit)),
        "env_href": "data:text/plain;charset=utf-8," + quote(env_file(base_url, made.plain)),
    }
    return render(request, "keys/created.html", context, status=201)


def _about(visit: Visit, key: ApiKey) -> dict[str, object]:
    base_url = f"{settings.PUBLIC_URL}/v1"
    return {
        "key": key,
        "status": key.status(timezone.now()),
        "now": timezone.now(),
        "may_change": _may_change(visit, key),
        "successor": key.replaced_by.first(),
        "base_url": base_url,
        "snippets": first_call(base_url, PLACEHOLDER_KEY, offers.first_model(visit)),
    }


def _keys(visit: Visit) -> QuerySet[ApiKey]:
    return ApiKey.objects.of(visit.organization).filter(is_ephemeral=False)


def _matching(found: QuerySet[ApiKey], state: str, words: str) -> QuerySet[ApiKey]:
    now = timezone.now()
    ended = Q(revoked_at__isnull=False) | Q(expires_at__lte=now)
    if state == "ended":
        found = found.filter(ended)
    elif state != "all":
        found = found.exclude(ended)
    return found.filter(Q(name__icontains=words) | Q(public_id__startswith=words.removeprefix("sk-sai-")))


def _get(visit: Visit, public_id: str) -> ApiKey:
    return get_object_or_404(_keys(visit).select_related("created_by", "org"), public_id=public_id)


def _may_create(visit: Visit) -> bool:
    return visit.allows(Permission.MANAGE_KEYS) or visit.allows(Permission.MANAGE_OWN_KEYS)


def _may_change(visit: Visit, key: ApiKey) -> bool:
    own = key.created_by_id == visit.user.pk and visit.allows(Permission.MANAGE_OWN_KEYS)
    return own or visit.allows(Permission.MANAGE_KEYS)


def _require_change(visit: Visit, key: ApiKey) -> None:
    if not _may_change(visit, key):
        visit.require(Permission.MANAGE_KEYS)
