"""What a new user finds: the organisation of the invitation that brought them, else one of their own."""

from __future__ import annotations

from typing import Any

from allauth.account.signals import user_signed_up
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts import invitations
from accounts.audit import Actor
from accounts.models import User
from accounts.organizations import create_organization


@receiver(user_signed_up, dispatch_uid="accounts.signup")
def settle_in(request: HttpRequest, user: User, **_facts: Any) -> None:
    """However they signed up: by password, GitHub, Google or OIDC."""
    invitation = invitations.find_remembered(request)
    if invitation and invitations.owns_address(user, invitation.email):
        invitations.accept(invitation, user, Actor.of_user(user))
        invitations.forget(request)
    else:
        create_organization(user, _("%s's organisation") % user.get_short_name()[:80])
