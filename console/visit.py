"""A signed-in person in one organisation: what every page is given, and the door that lets a request through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils.cache import patch_vary_headers

from accounts import current
from accounts.audit import Actor
from accounts.errors import NotPermitted, OrganizationGone
from accounts.models import Membership, Organization, User
from accounts.roles import Permission

_FOUND = "_console_visit"
Rest = ParamSpec("Rest")
View = Callable[Concatenate[HttpRequest, "Visit", Rest], HttpResponseBase]


@dataclass(frozen=True, slots=True)
class Visit:
    user: User
    membership: Membership
    organization: Organization
    actor: Actor
    memberships: tuple[Membership, ...] = ()
    """All of the user's, among which this one was chosen."""

    def allows(self, permission: Permission) -> bool:
        return self.membership.allows(permission)

    def require(self, permission: Permission) -> None:
        if not self.allows(permission):
            raise PermissionDenied


def find_visit(request: HttpRequest) -> Visit | None:
    """The organisation chosen last, or else the first one joined; None for a visitor or who belongs to none.

    Looked up once in a request: the frame around a page asks again.
    """
    known: Visit | None = getattr(request, _FOUND, None)
    if known is not None:
        return known
    if not isinstance(request.user, User):
        return None
    memberships = tuple(current.memberships_of(request.user))
    membership = current.chosen_of(request, memberships)
    if membership is None:
        return None
    visit = Visit(membership.user, membership, membership.org, current.actor_of(request), memberships)
    setattr(request, _FOUND, visit)
    return visit


def wants_fragment(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of the page."""
    return request.headers.get("HX-Request") == "true"


def signed_in(request: HttpRequest) -> User:
    """For views behind `login_required`."""
    assert isinstance(request.user, User)
    return request.user


def page(permission: Permission) -> Callable[[View[Rest]], Callable[Concatenate[HttpRequest, Rest], Any]]:
    """Lets a member with this permission in. Others: sign in first (302), found an organisation (302), or 403.

    A row that is not this organisation's, or is not there at all, is a 404 either way.
    """

    def wrap(view: View[Rest]) -> Callable[Concatenate[HttpRequest, Rest], Any]:
        @wraps(view)
        def entered(request: HttpRequest, /, *args: Rest.args, **kwargs: Rest.kwargs) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            visit = find_visit(request)
            if visit is None:
                return redirect("organization-new")
            visit.require(permission)
            try:
                response = view(request, visit, *args, **kwargs)
                patch_vary_headers(response, ["HX-Request"])
                return response
            except NotPermitted as refusal:
                raise PermissionDenied from refusal
            except OrganizationGone as refusal:
                raise Http404 from refusal

        return entered

    return wrap
