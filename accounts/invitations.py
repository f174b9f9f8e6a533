"""Use cases of invitations: offer membership by e-mail, send again, withdraw, accept.

The link is sent to the address only, never shown to who invites: having it proves the mailbox, so a sign-up by it
counts as verified. What is stored is the SHA-256 of the link's token.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from datetime import timedelta

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, fields, mail, members
from accounts.authority import require
from accounts.changes import changing
from accounts.errors import InvalidField, InvitationClosed, InvitationForAnother
from accounts.models import Invitation, Membership, Organization, User
from accounts.roles import OWNER, ROLE_NAMES, Permission
from common.errors import NotFound
from common.ids import new_id

logger = logging.getLogger(__name__)

VALID_FOR = timedelta(days=7)
RESEND_AFTER = timedelta(minutes=1)
MOST_OPEN = 200
PATH = "/invitations/"
REMEMBERED_PATH = PATH
"""The page of the remembered invitation; `PATH<token>/` remembers it and leads there."""
_SESSION_KEY = "invitation"


def open_invitations(organization: Organization) -> QuerySet[Invitation]:
    """Neither accepted nor withdrawn; expired ones too, for they can be sent again."""
    invitations: QuerySet[Invitation] = Invitation.objects.of(organization)
    return invitations.filter(accepted_at=None, revoked_at=None).order_by("-created_at")


def invite(organization: Organization, actor: audit.Actor, *, email: str, role: str) -> Invitation:
    """Raises: NotPermitted, InvalidField (a member or an open invitation has that address), OrganizationGone."""
    email, role = fields.cleaned_email(email), fields.cleaned_role(role)
    with changing(organization) as held:
        _require_right(held, actor, role)
        _require_stranger(held, email)
        token, token_hash = _new_token()
        invitation = Invitation.objects.create(
            org=held,
            public_id=new_id("inv"),
            email=email,
            role=role,
            token_hash=token_hash,
            invited_by_id=int(actor.id) if actor.type == "user" else None,
            expires_at=timezone.now() + VALID_FOR,
        )
        _record(held, actor, "invitation.sent", invitation, None, {"email": email, "role": role})
        _send_after_commit(invitation, actor, token)
    return invitation


def resend_invitation(invitation: Invitation, actor: audit.Actor) -> Invitation:
    """A new link and seven more days; the old link ends. Raises: NotPermitted, InvitationClosed, InvalidField."""
    with changing(invitation.org) as held:
        current = _current(held, invitation)
        _require_right(held, actor, current.role)
        _require_unanswered(current)
        if current.expires_at - VALID_FOR > timezone.now() - RESEND_AFTER:
            raise InvalidField.one("email", _("It was sent just now. Wait a minute before sending it again."))
        before: dict[str, object] = {"expires_at": current.expires_at}
        token, current.token_hash = _new_token()
        current.expires_at = timezone.now() + VALID_FOR
        current.save(update_fields=["token_hash", "expires_at"])
        _record(held, actor, "invitation.sent_again", current, before, {"expires_at": current.expires_at})
        _send_after_commit(current, actor, token)
    return current


def revoke_invitation(invitation: Invitation, actor: audit.Actor) -> Invitation:
    """Withdraws it; once more changes nothing. Raises: NotPermitted, InvitationClosed when it was accepted."""
    with changing(invitation.org) as held:
        current = _current(held, invitation)
        _require_right(held, actor, current.role)
        if current.accepted_at:
            raise InvitationClosed("accepted")
        if current.revoked_at is None:
            current.revoked_at = timezone.now()
            current.save(update_fields=["revoked_at"])
            _record(held, actor, "invitation.revoked", current, {"role": current.role}, None)
    return current


def get_by_token(token: str) -> Invitation:
    """Raises: NotFound for no such link (also one replaced by sending again), InvitationClosed."""
    return _get_by_hash(_hash(token))


def accept(invitation: Invitation, user: User, actor: audit.Actor) -> Membership:
    """Makes the user a member. The caller got the invitation by its token, in this request or an earlier one.

    Raises:
        InvitationForAnother: none of the user's addresses is the invited one.
        InvitationClosed: accepted, withdrawn or expired, also in this very moment by somebody else.
        NotFound: sent again meanwhile, with another link.
    """
    with changing(invitation.org) as held:
        current = _get_by_hash(bytes(invitation.token_hash))
        if not owns_address(user, current.email):
            raise InvitationForAnother
        current.accepted_at = timezone.now()
        current.save(update_fields=["accepted_at"])
        inviter = current.invited_by.email if current.invited_by else ""
        return members.add_member(held, actor, user.pk, current.role, invited_by=inviter)


def owns_address(user: User, email: str) -> bool:
    if user.email.lower() == email:
        return True
    return EmailAddress.objects.filter(user=user, email__iexact=email, verified=True).exists()


def remember(request: HttpRequest, invitation: Invitation) -> None:
    """Keeps the invitation through sign-up or sign-in; the session holds the token's hash, not the token."""
    request.session[_SESSION_KEY] = bytes(invitation.token_hash).hex()


def find_remembered(request: HttpRequest) -> Invitation | None:
    """The remembered invitation while it is open; one that is not any more is forgotten."""
    kept = request.session.get(_SESSION_KEY)
    if not kept:
        return None
    try:
        return _get_by_hash(bytes.fromhex(kept))
    except (InvitationClosed, NotFound):
        forget(request)
        return None


def forget(request: HttpRequest) -> None:
    request.session.pop(_SESSION_KEY, None)


def link(token: str) -> str:
    return f"{settings.PUBLIC_URL}{PATH}{token}/"


def _new_token() -> tuple[str, bytes]:
    token = secrets.token_urlsafe(32)
    return token, _hash(token)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _get_by_hash(token_hash: bytes) -> Invitation:
    known = Invitation.objects.select_related("org", "invited_by").filter(token_hash=token_hash)
    invitation = known.filter(org__deleted_at=None).first()
    if invitation is None:
        raise NotFound(_("This invitation does not exist, or was replaced by a newer one."))
    _require_unanswered(invitation)
    if invitation.expires_at <= timezone.now():
        raise InvitationClosed("expired")
    return invitation


def _require_unanswered(invitation: Invitation) -> None:
    if invitation.accepted_at:
        raise InvitationClosed("accepted")
    if invitation.revoked_at:
        raise InvitationClosed("revoked")


def _require_right(organization: Organization, actor: audit.Actor, role: str) -> None:
    rights = require(organization, actor, Permission.MANAGE_MEMBERS)
    if role == OWNER:
        rights.require(Permission.MANAGE_OWNERS)


def _require_stranger(organization: Organization, email: str) -> None:
    if Membership.objects.of(organization).filter(user__email__iexact=email).exists():
        raise InvalidField.one("email", _("This person is a member already."))
    unanswered = open_invitations(organization)
    now = timezone.now()
    if unanswered.filter(email=email, expires_at__gt=now).exists():
        raise InvalidField.one("email", _("This person is invited already; send that invitation again."))
    unanswered.filter(email=email).update(revoked_at=now)
    if unanswered.count() >= MOST_OPEN:
        message = _("There are %s open invitations. Withdraw some first.") % MOST_OPEN
        raise InvalidField.one("email", message)


def _current(organization: Organization, invitation: Invitation) -> Invitation:
    return Invitation.objects.get_of(organization, pk=invitation.pk)


def _send_after_commit(invitation: Invitation, actor: audit.Actor, token: str) -> None:
    """A mail server that is away leaves the invitation there, to be sent again."""
    known = User.objects.filter(email=invitation.email).first() or invitation.invited_by
    message = mail.Message(
        template="invitation",
        to=invitation.email,
        language=known.language if known else settings.LANGUAGE_CODE,
        values={
            "organization": invitation.org.name,
            "inviter": actor.label,
            "role": ROLE_NAMES[invitation.role],
            "days": VALID_FOR.days,
            "url": link(token),
        },
    )

    def send() -> None:
        try:
            mail.send(message)
        except mail.NOT_TAKEN:
            logger.exception("The mail server did not take an invitation")
            invitation.is_undelivered = True

    transaction.on_commit(send, robust=True)


def _record(
    organization: Organization,
    actor: audit.Actor,
    action: str,
    invitation: Invitation,
    before: dict[str, object] | None,
    after: dict[str, object] | None,
) -> None:
    audit.record(
        organization,
        actor,
        action,
        "invitation",
        invitation.public_id,
        label=invitation.email,
        before=before,
        after=after,
    )
