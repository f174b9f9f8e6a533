"""What an owner chose to do with its share, and whether it wants to be seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from accounts import audit, authority
from accounts.audit import Actor
from accounts.changes import changing
from accounts.errors import InvalidField
from accounts.fields import cleaned_name
from accounts.models import Organization
from accounts.roles import Permission
from billing.earnings.models import (
    LEAST_DONATED_PERCENT,
    MOST_DONATED_PERCENT,
    MOST_WEIGHT,
    Cause,
    CauseChoice,
    Programme,
)
from billing.earnings.splitting import Choice, Split, split
from billing.terms import Terms

MOST_CAUSES = 10
LONGEST_PUBLIC_NAME = 60


@dataclass(frozen=True, slots=True)
class Preview:
    """What becomes of an amount that somebody pays for a request on one's machine. Nano-USD."""

    paid: int
    fee: int
    share: Split


def programme_of(organization: Organization) -> Programme:
    """Unsaved where nothing was chosen."""
    return Programme.objects.of(organization).filter().first() or Programme(org=organization)


def choice_of(programme: Programme) -> Choice:
    """As it divides now: closed causes get nothing."""
    if not programme.donated_percent:
        return Choice(programme.exchanged_percent)
    chosen = programme.choices.filter(cause__closed_at=None).order_by("cause_id")
    weights = tuple(chosen.values_list("cause_id", "weight"))
    return Choice(programme.exchanged_percent, programme.donated_percent, weights)


def weights_of(programme: Programme) -> dict[str, int]:
    """By the causes' short names."""
    if programme.pk is None:
        return {}
    return dict(programme.choices.order_by("cause__slug").values_list("cause__slug", "weight"))


def preview(choice: Choice, paid: int) -> Preview:
    """Exactly what settlement would do with one such request."""
    share = Terms.from_settings().owner_nanos(paid)
    return Preview(paid, paid - share, split(share, choice))


def cleaned_choice(given: Mapping[str, Any]) -> tuple[Choice, dict[int, Cause]]:
    """
    Args:
        given: `exchanged_percent` and `donated_percent`, nothing of it being 0, and with the latter `causes`, weights
            by short names.

    Raises: InvalidField.
    """
    exchanged = _cleaned_percent(given, "exchanged_percent", least=0)
    if not given.get("donated_percent"):
        return Choice(exchanged), {}
    donated = _cleaned_percent(given, "donated_percent", least=LEAST_DONATED_PERCENT)
    if exchanged + donated > 100:
        message = _("Together with what you give it comes to %(sum)d %%, which is more than there is.")
        raise InvalidField.one("exchanged_percent", message % {"sum": exchanged + donated})
    causes = _cleaned_causes(given.get("causes"))
    weights = tuple(sorted((cause.pk, weight) for cause, weight in causes))
    return Choice(exchanged, donated, weights), {cause.pk: cause for cause, _weight in causes}


def choose(organization: Organization, actor: Actor, given: Mapping[str, Any]) -> Programme:
    """Counts from the next settled request on. Raises: InvalidField, NotPermitted, OrganizationGone."""
    with changing(organization) as held:
        authority.require(held, actor, Permission.MANAGE_EARNINGS)
        choice, causes = cleaned_choice(given)
        row = programme_of(held)
        before = _said(row)
        row.exchanged_percent, row.donated_percent = choice.exchanged_percent, choice.donated_percent
        row.save()
        row.choices.all().delete()
        CauseChoice.objects.bulk_create(
            CauseChoice(org=held, programme=row, cause=causes[id], weight=weight) for id, weight in choice.causes
        )
        after = _said(row)
        if before != after:
            audit.record(
                held, actor, "earnings.programme_chosen", "earnings", held.public_id, before=before, after=after
            )
    return row


def recognise(organization: Organization, actor: Actor, *, is_public: bool, public_name: str = "") -> Programme:
    """Raises: InvalidField, NotPermitted, OrganizationGone."""
    name = cleaned_name(public_name, longest=LONGEST_PUBLIC_NAME, field="public_name") if is_public else ""
    with changing(organization) as held:
        authority.require(held, actor, Permission.MANAGE_EARNINGS)
        row = programme_of(held)
        before = {"is_public": row.is_public, "public_name": row.public_name}
        row.is_public, row.public_name = is_public, name
        row.save()
        after = {"is_public": row.is_public, "public_name": row.public_name}
        if before != after:
            audit.record(
                held, actor, "earnings.recognition_set", "earnings", held.public_id, before=before, after=after
            )
    return row


def _said(row: Programme) -> dict[str, Any]:
    parts = {"exchanged_percent": row.exchanged_percent, "donated_percent": row.donated_percent}
    return parts | {"causes": weights_of(row)}


def _cleaned_percent(given: Mapping[str, Any], name: str, least: int) -> int:
    value = given.get(name) or 0
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or not least <= value <= MOST_DONATED_PERCENT:
        plain = _("Give a whole number from %(least)d to %(most)d.")
        message = _("Give a whole number from %(least)d to %(most)d, or 0 for nothing.") if least else plain
        raise InvalidField.one(name, message % {"least": least, "most": MOST_DONATED_PERCENT})
    return int(value)


def _cleaned_causes(value: Any) -> list[tuple[Cause, int]]:
    if not isinstance(value, Mapping) or not value:
        raise InvalidField.one("causes", _("Choose at least one cause."))
    if len(value) > MOST_CAUSES:
        raise InvalidField.one("causes", _("Choose at most %(most)d causes.") % {"most": MOST_CAUSES})
    found = {cause.slug: cause for cause in Cause.objects.filter(slug__in=[str(slug) for slug in value])}
    cleaned = []
    for slug, weight in value.items():
        if slug not in found or found[slug].closed_at is not None:
            raise InvalidField.one("causes", _("There is no open cause “%(slug)s”.") % {"slug": str(slug)[:60]})
        if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= MOST_WEIGHT:
            message = _("Weights are whole numbers from 1 to %(most)d.") % {"most": MOST_WEIGHT}
            raise InvalidField.one("causes", message)
        cleaned.append((found[slug], weight))
    return cleaned
