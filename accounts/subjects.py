"""What people call the subject of a limit: a key's name, a member's address, a machine's name."""

from __future__ import annotations

from collections.abc import Iterable

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


def labels_of(limits: Iterable[Limit]) -> dict[int, str]:
    """As `label_of` of each, by its id, with two queries for all of them."""
    limits = list(limits)
    keys = [limit.subject for limit in limits if limit.scope == KEY]
    members = [limit.subject for limit in limits if limit.scope == MEMBER]
    orgs = {limit.org_id for limit in limits}
    names = dict(ApiKey.objects.filter(org_id__in=orgs, pk__in=keys).values_list("pk", "name")) if keys else {}
    emails = dict(User.objects.filter(pk__in=members).values_list("pk", "email")) if members else {}
    said = {KEY: names, MEMBER: emails}
    return {
        limit.pk: said[limit.scope].get(int(limit.subject), "")
        if limit.scope in said
        else ("" if limit.scope == ORGANISATION else limit.subject)
        for limit in limits
    }
