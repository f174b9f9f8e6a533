"""A file is put into an organisation entry by entry, each by the use case that a person would use, or not at all.

What refuses one entry stops no other, and the report tells of each what became of it. A dry run does all of it and
takes it back, so it foretells exactly what an import would do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from rest_framework import serializers

from accounts import audit
from accounts.audit import Actor
from accounts.authority import require
from accounts.errors import InvalidField
from accounts.models import Organization
from accounts.roles import Permission
from common.errors import CodedError
from console.api.configuration.exporting import Entry, entries_of
from console.api.configuration.putting import PUT, Skipped
from console.api.configuration.shapes import ENTRIES, PARTIAL, SINGLE, ConfigurationFile

CREATED, CHANGED, UNCHANGED, SKIPPED, REFUSED = "created", "changed", "unchanged", "skipped", "refused"
OUTCOMES = (CREATED, CHANGED, UNCHANGED, SKIPPED, REFUSED)


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one entry. `note` says why it was left out, or what is to be done next."""

    section: str
    name: str
    outcome: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    dry_run: bool
    lines: tuple[Line, ...]

    @property
    def counts(self) -> dict[str, int]:
        counted = Counter(line.outcome for line in self.lines)
        return {outcome: counted[outcome] for outcome in OUTCOMES}

    @property
    def changes(self) -> bool:
        return any(line.outcome in (CREATED, CHANGED) for line in self.lines)


def read_file(given: Any) -> Entry:
    """The file with its sections. Raises: InvalidField: it is none."""
    file = ConfigurationFile(data=given)
    if not file.is_valid():
        field, mistakes = next(iter(file.errors.items()))
        raise InvalidField.one(str(field), _first_of(mistakes))
    return dict(file.validated_data)


def put_in(
    organization: Organization, actor: Actor, file: Mapping[str, Any], sections: Collection[str], *, dry_run: bool
) -> Report:
    """
    Args:
        file: as `read_file` gives it.
        sections: which of it count; the others are passed by.

    Raises:
        NotPermitted, OrganizationGone.
    """
    with transaction.atomic():
        require(organization, actor, Permission.MANAGE_ORGANIZATION)
        chosen = [word for word in ENTRIES if word in sections and word in file]
        lines = tuple(line for word in chosen for line in _section(organization, actor, word, file[word]))
        report = Report(dry_run, lines)
        audit.record(
            organization,
            actor,
            "configuration.imported",
            "organization",
            organization.public_id,
            label=organization.name,
            after={"sections": chosen, **report.counts},
        )
        if dry_run:
            transaction.set_rollback(True)
    return report


def _section(organization: Organization, actor: Actor, section: str, given: Any) -> list[Line]:
    entries = [given] if section in SINGLE else given
    present = _present(organization, section)
    return [_line(organization, actor, section, entry, present) for entry in entries]


def _present(organization: Organization, section: str) -> dict[str, Entry]:
    """What is there already, by name and in the form that entries of a file are brought into."""
    told = entries_of(organization, section)
    known = (_cleaned(section, entry) for entry in ([told] if section in SINGLE else told))
    return {_name_of(section, entry): entry for entry in known}


def _line(organization: Organization, actor: Actor, section: str, given: Any, present: Mapping[str, Entry]) -> Line:
    name = _name_of(section, given) if isinstance(given, Mapping) else ""
    try:
        entry = _cleaned(section, given)
        before = present.get(name)
        if before is not None and _says_the_same(entry, before):
            return Line(section, name, UNCHANGED)
        with transaction.atomic():
            note = PUT[section](organization, actor, entry)
        return Line(section, name, CREATED if before is None else CHANGED, note)
    except Skipped as left_out:
        return Line(section, name, SKIPPED, left_out.reason)
    except serializers.ValidationError as mistake:
        return Line(section, name, REFUSED, _told(mistake.detail))
    except CodedError as refusal:
        return Line(
            section, name, REFUSED, f"{refusal.param}: {refusal.message}" if refusal.param else refusal.message
        )


def _cleaned(section: str, given: Any) -> Entry:
    body = ENTRIES[section](data=given, partial=section in PARTIAL)
    body.is_valid(raise_exception=True)
    if section not in SINGLE and not _name_of(section, body.validated_data):
        raise serializers.ValidationError(_("It has no name."))
    return dict(body.validated_data)


def _says_the_same(entry: Entry, before: Entry) -> bool:
    return all(before.get(name) == value for name, value in entry.items() if name != "keys")


def _name_of(section: str, entry: Mapping[str, Any]) -> str:
    if section in SINGLE:
        return ""
    if section in ("limits", "cache_policies"):
        return f"{entry.get('scope', '')} {entry.get('subject', '')}".strip()
    return str(entry.get({"members": "email", "providers": "slug", "nodes": "slug"}.get(section, "name")) or "")


def _told(detail: Any) -> str:
    if isinstance(detail, Mapping):
        field, mistakes = next(iter(detail.items()))
        rest = _told(mistakes)
        return rest if field == "non_field_errors" else f"{field}: {rest}" if ": " not in rest else f"{field}.{rest}"
    return _first_of(detail)


def _first_of(mistakes: Any) -> str:
    while isinstance(mistakes, list) and mistakes:
        mistakes = mistakes[0]
    return _told(mistakes) if isinstance(mistakes, Mapping) else str(mistakes)
