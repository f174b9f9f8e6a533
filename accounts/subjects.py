"""What people call the subject of a limit: a key's name, a member's address, a machine's name."""

from __future__ import annotations

from accounts.models import ApiKey, Limit, User
from accounts.scopes import KEY, MEMBER, ORGANISATION


def label_of(limit: Limit) -> str:
    """ "" for the organisation itself."""
    if limit.scope == ORGANISATION:
        return ""
    if limit.scope == KEY:
        return (
            ApiKey.objects.filter(org_id=limit.org_id, pk=limit.subject).values_list("name", flat=True).first() or ""
        )
    if limit.scope == MEMBER:
        return User.objects.filter(pk=limit.subject).values_list("email", flat=True).first() or ""
    return limit.subject
