"""Figures of Activity beside those of the time before."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from console import figures

register = template.Library()

_SHOWN: Mapping[str, Callable[[float], str]] = {
    "money": lambda amount: figures.usd(int(amount)),
    "count": figures.compact,
    "time": figures.duration,
}
_TIMES_TOO_MANY = 10
"""A growth beyond says nothing in percent."""


@register.simple_tag
def change(now: float | None, before: float | None, kind: str = "count") -> SafeString | str:
    """`+12.3 %`, with both figures on hover; a dash where there is nothing to compare."""
    if not before or now is None:
        return _("new") if now and before is not None else "–"
    said = _("%(now)s now, %(before)s before") % {"now": _SHOWN[kind](now), "before": _SHOWN[kind](before)}
    return format_html('<span title="{}">{}</span>', said, percent_of(now, before))


@register.simple_tag
def difference(now: float | None, before: float | None, kind: str = "count") -> str:
    """`+$1.20`; a dash where one of them is not known."""
    return "–" if now is None or before is None else signed(now - before, kind)


@register.filter
def signed_money(nanos: int | None) -> str:
    return "–" if nanos is None else signed(nanos, "money")


def signed(amount: float, kind: str) -> str:
    shown = _SHOWN[kind](abs(amount))
    return f"+{shown}" if amount > 0 else f"−{shown}" if amount < 0 else f"±{shown}"


def percent_of(now: float, before: float) -> str:
    share = 100 * (now - before) / before
    if share > 100 * _TIMES_TOO_MANY:
        return f"× {figures.compact(round(now / before))}"
    return f"{share:+.1f} %".replace("-", "−") if round(share, 1) else "±0 %"
