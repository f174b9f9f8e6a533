"""Who acts in a request of the console: the signed-in user's membership of the organisation last chosen."""

from __future__ import annotations

import time
from collections.abc import Sequence

from allauth.account import app_settings
from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from allauth.core.exceptions import ReauthenticationRequired
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.audit import Actor
from accounts.errors import OrganizationGone
from accounts.models import Membership, User

_SESSION_KEY = "organization"
_SIGNED_IN_KEY = "signed_in_at_s"


def memberships_of(user: User) -> QuerySet[Membership]:
    """What the organisation switcher lists; deleted organisations are gone from it."""
    memberships = Membership.objects.filter(user=user, org__deleted_at=None)
    return memberships.select_related("org", "user").order_by("created_at", "pk")


def membership_of(request: HttpRequest) -> Membership | None:
    """The chosen organisation, or the first one when that is gone; None for a visitor or a user without any."""
    if not request.user.is_authenticated:
        return None
    return chosen_of(request, list(memberships_of(request.user)))


def chosen_of(request: HttpRequest, memberships: Sequence[Membership]) -> Membership | None:
    """Of these, which are all of the user's in their order."""
    chosen = request.session.get(_SESSION_KEY)
    first = memberships[0] if memberships else None
    return next((one for one in memberships if one.org.public_id == chosen), first)


def switch(request: HttpRequest, organization_id: str) -> Membership:
    """Makes the organisation with this public id the session's.

    Raises:
        OrganizationGone: there is none, or it is none of the user's: both look the same.
    """
    if request.user.is_authenticated:
        membership = memberships_of(request.user).filter(org__public_id=organization_id).first()
        if membership:
            request.session[_SESSION_KEY] = organization_id
            return membership
    raise OrganizationGone


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in user as the audit trail knows it. Raises: TypeError for a visitor."""
    if not isinstance(request.user, User):
        raise TypeError("a visitor does not act")
    return Actor.of_user(request.user, get_adapter().get_client_ip(request), request.META.get("HTTP_USER_AGENT", ""))


def address_of(request: HttpRequest) -> str:
    """The caller's, behind the trusted proxies; empty where nobody knows, which suits no key bound to addresses."""
    try:
        return str(get_adapter().get_client_ip(request))
    except PermissionDenied:
        return ""


def note_sign_in(request: HttpRequest) -> None:
    """Called at the end of every sign-in, so that who just signed in is not asked for the password again."""
    request.session[_SIGNED_IN_KEY] = time.time()


def recently_authenticated(request: HttpRequest) -> bool:
    """Whether the user proved who it is, by signing in or again, within ACCOUNT_REAUTHENTICATION_TIMEOUT.

    Fails: open for a user without password and second factor (GitHub, Google, OIDC alone), whom nothing here can ask.
    """
    if not request.user.is_authenticated:
        return False
    if not get_adapter().get_reauthentication_methods(request.user):
        return True
    proofs = [record["at"] for record in get_authentication_records(request, request.user)]
    proofs.append(request.session.get(_SIGNED_IN_KEY, 0))
    return max(proofs) > time.time() - app_settings.REAUTHENTICATION_TIMEOUT


def require_recent_authentication(request: HttpRequest) -> None:
    """Before keys, provider secrets, payouts and roles. allauth's middleware leads the user through it and back.

    Raises:
        ReauthenticationRequired.
    """
    if not recently_authenticated(request):
        raise ReauthenticationRequired
