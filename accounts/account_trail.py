"""What people do with their own accounts, in the audit trail of each organisation they are a member of.

Signing in and out, passwords, addresses and second factors belong to a person and to no organisation; yet who owns an
organisation has to see how its members get in. allauth tells of each by a signal, after it was done.

Fails: the page that an event belongs to fails with it, though what was done stays done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from allauth.account import signals
from allauth.account.authentication import get_authentication_records
from allauth.account.models import EmailAddress
from allauth.account.utils import filter_users_by_email
from allauth.core import context
from allauth.mfa import signals as factors
from allauth.mfa.models import Authenticator
from allauth.socialaccount import signals as linked
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest

from accounts import audit, current
from accounts.audit import Actor
from accounts.models import Organization, User

ACCOUNT = "account"
_VISITOR = "visitor"
_FACTORS: dict[str, str] = {
    Authenticator.Type.TOTP: "totp",
    Authenticator.Type.WEBAUTHN: "passkey",
    Authenticator.Type.RECOVERY_CODES: "recovery_codes",
}


def note(
    request: HttpRequest,
    user: User,
    action: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """One event in each of the user's organisations, in a transaction each: one chain is locked at a time."""
    actor = _actor_of(request, user, action)
    for organization in Organization.objects.filter(memberships__user=user, deleted_at=None).order_by("pk"):
        with transaction.atomic():
            audit.record(
                organization,
                actor,
                action,
                ACCOUNT,
                str(user.pk),
                label=user.email,
                before=before,
                after=after,
            )


def note_failed_password(request: HttpRequest, email: str) -> None:
    """Of an address that is nobody's there is no trail to write to."""
    for user in filter_users_by_email(email, is_active=True):
        note(request, user, "sign_in.failed", after={"by": ["password"]})


class SessionsAdapter(DefaultUserSessionsAdapter):
    def end_sessions(self, sessions: Iterable[UserSession]) -> None:
        ended = list(sessions)
        super().end_sessions(ended)
        if ended:
            note(context.request, ended[0].user, "sessions.ended", before={"sessions": len(ended)})


@receiver(signals.user_logged_in, dispatch_uid="accounts.trail.signed_in")
def _signed_in(request: HttpRequest, user: User, **_facts: Any) -> None:
    records = get_authentication_records(request, user)
    means = [record.get("type") or record.get("provider") or record["method"] for record in records]
    note(request, user, "sign_in.succeeded", after={"by": means})


@receiver(user_logged_out, dispatch_uid="accounts.trail.signed_out")
def _signed_out(request: HttpRequest, user: User | None, **_facts: Any) -> None:
    if user is not None:
        note(request, user, "sign_in.ended")


@receiver(factors.authentication_failed, dispatch_uid="accounts.trail.wrong_factor")
def _wrong_factor(request: HttpRequest, user: User, authenticator: Authenticator, **_facts: Any) -> None:
    note(request, user, "sign_in.failed", after={"by": [authenticator.type]})


@receiver(signals.login_code_rejected, dispatch_uid="accounts.trail.wrong_code")
def _wrong_code(request: HttpRequest, user: User, **_facts: Any) -> None:
    note(request, user, "sign_in.failed", after={"by": ["code"]})


@receiver(signals.password_changed, dispatch_uid="accounts.trail.password_changed")
def _password_changed(request: HttpRequest, user: User, **_facts: Any) -> None:
    note(request, user, "password.changed")


@receiver(signals.password_set, dispatch_uid="accounts.trail.password_set")
def _password_set(request: HttpRequest, user: User, **_facts: Any) -> None:
    note(request, user, "password.set")


@receiver(signals.password_reset, dispatch_uid="accounts.trail.password_reset")
def _password_reset(request: HttpRequest, user: User, **_facts: Any) -> None:
    note(request, user, "password.reset")


@receiver(signals.email_added, dispatch_uid="accounts.trail.email_added")
def _email_added(request: HttpRequest, email_address: EmailAddress, **_facts: Any) -> None:
    note(request, email_address.user, "email.added", after={"email": email_address.email})


@receiver(signals.email_confirmed, dispatch_uid="accounts.trail.email_confirmed")
def _email_confirmed(request: HttpRequest, email_address: EmailAddress, **_facts: Any) -> None:
    note(request, email_address.user, "email.confirmed", after={"email": email_address.email})


@receiver(signals.email_removed, dispatch_uid="accounts.trail.email_removed")
def _email_removed(request: HttpRequest, email_address: EmailAddress, **_facts: Any) -> None:
    note(request, email_address.user, "email.removed", before={"email": email_address.email})


@receiver(signals.email_changed, dispatch_uid="accounts.trail.email_changed")
def _main_email_changed(
    request: HttpRequest, from_email_address: EmailAddress | None, to_email_address: EmailAddress, **_facts: Any
) -> None:
    before = {"email": from_email_address.email} if from_email_address else None
    note(request, to_email_address.user, "email.main_changed", before, {"email": to_email_address.email})


@receiver(factors.authenticator_added, dispatch_uid="accounts.trail.factor_added")
@receiver(factors.authenticator_reset, dispatch_uid="accounts.trail.factor_reset")
def _factor_added(request: HttpRequest, user: User, authenticator: Authenticator, **_facts: Any) -> None:
    did = "generated" if authenticator.type == Authenticator.Type.RECOVERY_CODES else "added"
    note(request, user, f"{_FACTORS[authenticator.type]}.{did}", after=_described(authenticator))


@receiver(factors.authenticator_removed, dispatch_uid="accounts.trail.factor_removed")
def _factor_removed(request: HttpRequest, user: User, authenticator: Authenticator, **_facts: Any) -> None:
    note(request, user, f"{_FACTORS[authenticator.type]}.removed", before=_described(authenticator))


@receiver(linked.social_account_added, dispatch_uid="accounts.trail.linked")
def _linked(request: HttpRequest, sociallogin: SocialLogin, **_facts: Any) -> None:
    note(request, sociallogin.user, "sign_in_provider.linked", after={"provider": sociallogin.account.provider})


@receiver(linked.social_account_removed, dispatch_uid="accounts.trail.unlinked")
def _unlinked(request: HttpRequest, socialaccount: SocialAccount, **_facts: Any) -> None:
    note(request, socialaccount.user, "sign_in_provider.unlinked", before={"provider": socialaccount.provider})


def _described(authenticator: Authenticator) -> dict[str, str] | None:
    """The name of a passkey. Secrets, codes and credentials stay where they are."""
    is_passkey = authenticator.type == Authenticator.Type.WEBAUTHN
    return {"name": authenticator.wrap().name} if is_passkey else None


def _actor_of(request: HttpRequest, user: User, action: str) -> Actor:
    """Who failed to sign in may be anybody."""
    agent = request.META.get("HTTP_USER_AGENT", "")
    address = current.address_of(request)
    if action == "sign_in.failed" and not request.user.is_authenticated:
        return Actor(_VISITOR, "", _VISITOR, address, agent[:300])
    return Actor.of_user(user, address, agent)
