"""Draws availability: a bar per day, without a script and without colour being the only sign."""

from __future__ import annotations

from django import template
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console import figures
from console.availability import Availability, DayOfConnection

register = template.Library()

_STEP, _BAR, _HEIGHT = 8, 5, 40
_HEIGHTS = {"good": 40, "fair": 28, "poor": 16, "none": 6}
_MOST_TOLD = 10


@register.simple_tag
def availability_bars(availability: Availability) -> SafeString:
    """One bar per day: a lower one means more trouble, the lowest that nothing is known. Each tells its figures on
    hover, and the drawing as a whole in words for who does not see it."""
    bars = format_html_join(
        "",
        '<g class="day day-{}"><rect class="day-room" x="{}" width="{}" height="{}"/>'
        '<rect class="day-bar" x="{}" y="{}" width="{}" height="{}" rx="1.5"/><title>{}</title></g>',
        (_bar(index, day) for index, day in enumerate(availability.days)),
    )
    width = len(availability.days) * _STEP
    return format_html(
        '<svg class="days" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>',
        width, _HEIGHT, told(availability), bars,
    )  # fmt: skip


def _bar(index: int, day: DayOfConnection) -> tuple[object, ...]:
    height = _HEIGHTS[day.grade]
    x = index * _STEP
    return day.grade, x, _STEP, _HEIGHT, x + (_STEP - _BAR) / 2, _HEIGHT - height, _BAR, height, day_told(day)


@register.filter
def uptime(share: float | None) -> str:
    """`99.98 %`; never rounded up to a hundred."""
    if share is None:
        return "–"
    if share == 1:
        return "100 %"
    return f"{min(int(share * 10_000) / 100, 99.99):.2f} %"


def day_told(day: DayOfConnection) -> str:
    name = date_format(day.day, "j M")
    if day.share is None:
        return _("%(day)s: nothing known") % {"day": name}
    parts = [f"{name}: {uptime(day.share)}"]
    if day.attempts:
        counts = {"n": figures.compact(day.attempts), "failed": figures.compact(day.failed)}
        parts.append(_("%(n)s attempts, %(failed)s failed") % counts)
    if day.probes:
        counts = {"n": figures.compact(day.probes), "failed": figures.compact(day.probes_failed)}
        parts.append(_("%(n)s probes, %(failed)s failed") % counts)
    if day.down_s:
        parts.append(_("down for %(time)s") % {"time": _span(day.down_s)})
    return " · ".join(parts)


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return _("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes}
    return figures.duration((minutes * 60 + rest) * 1000)


def told(availability: Availability) -> str:
    """The whole drawing in words: the figure, and the newest days that were not good."""
    if availability.share is None:
        return _("Availability: nothing known yet")
    said = _("Availability: %(share)s") % {"share": uptime(availability.share)}
    troubled = availability.troubled
    if not troubled:
        no_trouble = _("No day with trouble.")
        return f"{said}. {no_trouble}"
    days = ngettext("%(n)d day with trouble", "%(n)d days with trouble", len(troubled)) % {"n": len(troubled)}
    newest = "; ".join(day_told(day) for day in troubled[-_MOST_TOLD:])
    return f"{said}. {days}: {newest}"
