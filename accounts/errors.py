"""What this room refuses, as leaves of the tree in `common.errors`.

InvalidRequest 400
└── InvalidField              one or more fields with their messages, for a form or the API to show beside them
PermissionRefused 403
├── NotPermitted              the actor's role lacks a permission
└── InvitationForAnother      the invitation names another e-mail address
NotFound 404
└── OrganizationGone          deleted, or never there
Conflict 409
├── LastOwner                 an organisation keeps at least one owner
├── KeyNotActive              revoked, expired or already replaced
└── InvitationClosed          accepted, revoked or expired; `reason` says which
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from common.errors import CodedError, InvalidRequest, NotFound, PermissionRefused


class InvalidField(InvalidRequest):
    """Args: fields: messages by the name of the field, in the order of the form."""

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        self.fields = {name: list(messages) for name, messages in fields.items()}
        first = next(iter(self.fields))
        super().__init__(self.fields[first][0], param=first, metadata={"fields": self.fields})

    @classmethod
    def one(cls, field: str, message: str) -> InvalidField:
        return cls({field: [message]})


class NotPermitted(PermissionRefused):
    def __init__(self, permission: str) -> None:
        self.permission = permission
        super().__init__(_("Your role does not allow this."), metadata={"permission": permission})


class InvitationForAnother(PermissionRefused):
    """The address itself is not told: whoever holds a stray link should not learn it."""

    CODE = "invitation_for_another"

    def __init__(self) -> None:
        super().__init__(_("This invitation was sent to another e-mail address. Sign in with that one."))


class OrganizationGone(NotFound):
    """Not told apart from an organisation of others, hence without a code of its own."""

    def __init__(self) -> None:
        super().__init__(_("This organisation does not exist any more."))


class Conflict(CodedError):
    """The state of things, not the request's form, stands against it; asking again changes nothing."""

    TYPE, STATUS, SHOULD_RETRY = "conflict_error", 409, False


class LastOwner(Conflict):
    CODE = "last_owner"

    def __init__(self) -> None:
        super().__init__(_("An organisation needs an owner: make somebody else an owner first."))


class KeyNotActive(Conflict):
    CODE = "key_not_active"
    MESSAGE = "This key is not active any more."


class InvitationClosed(Conflict):
    """Args: reason: "accepted", "revoked" or "expired"."""

    CODE = "invitation_closed"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(_invitation_sentences()[reason], metadata={"reason": reason})


def _invitation_sentences() -> dict[str, Any]:
    return {
        "accepted": _("This invitation has been accepted already."),
        "revoked": _("This invitation has been withdrawn. Ask for a new one."),
        "expired": _("This invitation has expired. Ask for a new one."),
    }
