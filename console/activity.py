"""What Activity shows of an organisation's usage: groups, each beside the time before, the course, other prices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.models import ApiKey, Membership, Organization
from console.spans import Span
from metering.reports import FIELDS, Group, Narrowed, UsageRow, course, total_of, usage_report

MOST_SERIES = 6
PAGE = 50
RANKED_BY = {
    "spend": "spend_nanos", "requests": "requests", "tokens": "tokens", "errors": "errors", "saved": "saved_nanos",
}  # fmt: skip
SORTED_BY = RANKED_BY | {
    "input": "input_tokens", "output": "output_tokens", "charged": "charged_nanos",
    "by_tokens": "tokens_nanos", "p50": "duration_p50_ms",
    "p99": "duration_p99_ms", "first": "ttft_p50_ms",
}  # fmt: skip
NEXT_GROUP: dict[str, Group] = {
    "model": "target", "target": "key", "route": "target", "node": "model", "key": "model", "member": "key",
}  # fmt: skip
"""What is looked at next in a group that was opened."""
_NUMBERED = ("key", "member")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A group. `value` stands in the URL; `before` is None for a group that was not there in the time before."""

    value: str
    label: str
    row: UsageRow
    before: UsageRow | None
    logs: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """All groups of a span, what they add up to, and the names of those that have a number."""

    lines: Sequence[Line]
    names: dict[Any, str]
    total: UsageRow
    before: UsageRow


@dataclass(frozen=True, slots=True)
class View:
    """What is asked for: whose usage, when, by what, and narrowed to what."""

    organization: Organization
    span: Span
    group: Group
    narrowed: Narrowed


def sheet_of(view: View) -> Sheet:
    """Two statements, and one for the names of keys or members."""
    now = usage_report(view.organization, *view.span.moments, [view.group], narrowed=view.narrowed)
    was = usage_report(view.organization, *view.span.before, [view.group], narrowed=view.narrowed)
    earlier = {_value(row, view.group): row for row in was}
    names = names_of(view.organization, view.group, (_value(row, view.group) for row in now))
    lines = [
        Line(
            value=str(_value(row, view.group)),
            label=name_of(view.group, _value(row, view.group), names),
            row=row,
            before=earlier.get(_value(row, view.group)),
            logs=logs_address(view, _value(row, view.group)),
        )
        for row in now
    ]
    return Sheet(lines, names, total_of(now), total_of(was))


def ordered(lines: Iterable[Line], sort: str) -> list[Line]:
    """By a name of SORTED_BY or "name", after "-" the largest first; what has no such figure comes last."""
    name, descending = sort.removeprefix("-"), sort.startswith("-")
    if name == "name":
        return sorted(lines, key=lambda line: line.label.lower(), reverse=descending)
    field, sign = SORTED_BY[name], -1 if descending else 1

    def place(line: Line) -> tuple[bool, float, str]:
        figure = getattr(line.row, field)
        return figure is None, sign * (figure or 0), line.label

    return sorted(lines, key=place)


def chart_of(view: View, sheet: Sheet, figure: str) -> dict[str, Any]:
    """What Chart.js draws: the largest groups as series, the others as one."""
    field = RANKED_BY[figure]
    ranked = sorted(sheet.lines, key=lambda line: getattr(line.row, field), reverse=True)[:MOST_SERIES]
    starts = view.span.starts()
    place = {view.span.place_of(start): index for index, start in enumerate(starts)}
    shown = {_value(line.row, view.group): [0.0] * len(starts) for line in ranked}
    others = [0.0] * len(starts)
    is_money = field.endswith("_nanos")
    points = course(view.organization, view.span.moments, view.group, view.span.unit, figure, [*shown], view.narrowed)
    for point in points:
        series = others if point.value is None else shown[point.value]
        series[place[view.span.place_of(point.starts_at)]] += point.amount / 1e9 if is_money else point.amount
    labelled = [
        {"label": line.label, "data": shown[_value(line.row, view.group)], "narrow": _narrow(view, line)}
        for line in ranked
    ]
    if any(others):
        labelled.append({"label": _("others"), "data": others})
    pattern = "H:i" if view.span.unit == "hour" else "j M"
    labels = [date_format(start, pattern) for start in starts]
    ends = [*starts[1:], view.span.end]
    links = [_logs_between(view, start, end) for start, end in zip(starts, ends, strict=True)]
    return {"labels": labels, "series": labelled, "unit": "$" if is_money else "", "links": links}


def names_of(organization: Organization, group: str, values: Iterable[Any]) -> dict[Any, str]:
    if group == "key":
        return dict(ApiKey.objects.of(organization).filter(pk__in=[*values]).values_list("pk", "name"))
    if group == "member":
        members = Membership.objects.of(organization).filter(user__in=[*values]).select_related("user")
        return {member.user_id: member.user.get_short_name() for member in members}
    return {}


def name_of(group: str, value: Any, names: dict[Any, str]) -> str:
    if group in _NUMBERED:
        return names.get(value, _("gone (%(id)s)") % {"id": value} if value else _("none"))
    none = {"target": _("none answered, or from memory"), "node": _("no machine: providers"), "route": _("no route")}
    return str(value) or none.get(group, _("none"))


def logs_address(view: View, value: Any) -> str:
    """Of the log, narrowed to one group; "" for a group that the log has no filter for."""
    if not value:
        return ""
    return f"{_logs_between(view, *view.span.moments)}&{urlencode({str(view.group): value})}"


def _logs_between(view: View, start: datetime, end: datetime) -> str:
    """Of the log, narrowed as the view is but not by its group, which the caller adds."""
    given = {name: getattr(view.narrowed, field) for name, field in FIELDS.items() if field != "starts_at"}
    asked = {name: found for name, found in given.items() if found and name != view.group}
    since, until = (moment.astimezone(UTC).isoformat().replace("+00:00", "Z") for moment in (start, end))
    return f"{reverse('logs')}?{urlencode({**asked, 'since': since, 'until': until})}"


def _narrow(view: View, line: Line) -> str:
    """What a bar adds to the address of its time; "" for a group that the log has no filter for."""
    return f"&{urlencode({str(view.group): line.value})}" if line.logs else ""


def _value(row: UsageRow, group: str) -> Any:
    """0 for no key and no member."""
    value = getattr(row, FIELDS[group])
    return value or 0 if group in _NUMBERED else value
