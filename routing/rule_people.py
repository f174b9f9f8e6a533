"""Whom rules name that nobody is: no mistake, for a key may come later, and yet no request fits such a name."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import ApiKey, Membership, Organization
from routing.sentences import parsed


def doubts_about(organization: Organization, sentences: Iterable[str]) -> list[str]:
    """One sentence for each key and each member that rules ask for and that there is not now, as rules compare them.

    Args:
        sentences: rules in the form in which they are stored.
    """
    rules = [parsed(sentence) for sentence in sentences]
    keys = dict.fromkeys(name for rule in rules for name in rule.when.keys)
    members = dict.fromkeys(email for rule in rules for email in rule.when.members)
    known_keys = _keys_of(organization) if keys else set()
    known_members = _members_of(organization) if members else set()
    return [
        *(_("No API key in use is called “%(name)s”.") % {"name": name} for name in keys if name not in known_keys),
        *(
            _("No member has the e-mail address “%(email)s”.") % {"email": email}
            for email in members
            if email not in known_members
        ),
    ]


def _keys_of(organization: Organization) -> set[str]:
    """By id and by name."""
    in_use = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    rows = ApiKey.objects.of(organization).filter(in_use, revoked_at=None, is_ephemeral=False)
    return {said for pair in rows.values_list("public_id", "name") for said in pair}


def _members_of(organization: Organization) -> set[str]:
    return set(Membership.objects.of(organization).values_list("user__email", flat=True))
