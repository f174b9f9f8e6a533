"""Figures, times, sparklines and form widgets for the templates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django import forms, template
from django.template.defaultfilters import date as format_date
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.roles import ROLE_NAMES, ROLES
from accounts.scopes import TOKENS
from accounts.subjects import label_of
from billing.bank_payouts import REFERENCE
from billing.client import CENT_NANOS
from console import figures, payment_words
from console import words as vocabulary
from console.earning_words import DOUBTS
from console.kind_words import kind
from console.passkeys import Obstacle, find_obstacle
from metering.in_use import InUse
from metering.reports import UsageRow
from metering.standing import Standing
from providers.models import ConnectionKey

register = template.Library()

register.filter("usd", figures.usd)
register.filter("usd_down", figures.usd_down)
register.filter("usd_exact", figures.usd_exact)
register.filter("compact", figures.compact)
register.filter("thousands", figures.thousands)
register.filter("line_usd", lambda line: figures.usd_of_line(line.nanos_times_million))
register.filter("token_kind", vocabulary.token_kind)
register.filter("duration", figures.duration)
register.filter("share", figures.percent)
register.filter("microseconds", figures.microseconds)
register.filter("outcome", vocabulary.outcome)
register.filter("health_reason", vocabulary.health_reason)
register.filter("condition", vocabulary.condition)
register.filter("doubt", lambda code: str(DOUBTS.get(code, code)))
register.filter("doubt_advice", vocabulary.doubt_advice)
register.filter("billing", vocabulary.billing_reason)
register.filter("action", vocabulary.action)
register.filter("object_type", vocabulary.object_type)
register.filter("cents", lambda cents: figures.usd((cents or 0) * CENT_NANOS))
register.filter("decline_word", payment_words.decline)
register.filter("bank_reference", lambda reference: reference.removeprefix(REFERENCE))
register.filter("payout_reason", payment_words.payout_reason)
register.filter("payee_problem", payment_words.payee_problem)
register.filter("rung", vocabulary.rung)
register.filter("system", vocabulary.system)
register.filter("runtime", vocabulary.runtime)
register.filter("model_kind", kind)
register.filter("speaker", vocabulary.speaker)
register.filter("mode", vocabulary.mode)
register.filter("visibility", vocabulary.visibility)
register.filter("memory", figures.memory)
register.filter("scope_word", vocabulary.scope)
register.filter("window_word", vocabulary.window)
register.filter("policy_word", vocabulary.when_reached)
register.filter("subject_name", lambda standing: label_of(standing.limit))
register.filter("rate_word", vocabulary.rate)

_WIDTH, _HEIGHT = 120, 32


@register.filter
def success(row: UsageRow) -> str:
    return figures.percent(row.requests - row.errors, row.requests)


@register.filter
def words(text: str) -> list[str]:
    return text.split()


@register.filter
def field(form: forms.Form, name: str) -> forms.BoundField:
    return form[name]


@register.filter
def item(mapping: Mapping[str, Any], name: str) -> Any:
    return mapping.get(name)


@register.filter
def role_name(role: str) -> str:
    return str(ROLE_NAMES.get(role, role))


@register.filter
def role_text(role: str) -> str:
    return str(ROLES.get(role, role))


@register.filter
def plain(value: Any) -> str:
    """A value of the audit log on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@register.filter
def provider_of(target: str) -> str:
    """A provider or a machine by its short name: targets are `provider/model` and `node/machine/model`."""
    first, _, rest = target.partition("/")
    return rest.partition("/")[0] if first == "node" else first


@register.filter
def unlocalized(number: float) -> str:
    """For attributes of SVG, which know no decimal comma."""
    return str(number)


@register.filter
def initial(name: str) -> str:
    return (name.strip() or "?")[0].upper()


@register.filter
def money(nanos: int | None) -> SafeString | str:
    """Rounded, with the exact figure on hover; tiny amounts per thousand requests are on hover too."""
    if nanos is None:
        return "–"
    exact = _("exactly %(exact)s · %(thousand)s per 1,000") % {
        "exact": figures.usd_exact(nanos),
        "thousand": figures.per_thousand(nanos),
    }
    return format_html('<span class="money" title="{}">{}</span>', exact, figures.usd(nanos))


@register.filter
def kept_for(seconds: int) -> str:
    return _amount(seconds) or _("a moment")


@register.filter
def price(value: Any) -> str:
    """USD per million tokens as people read it: `$0.15`, `$12`, `–` when unknown."""
    if value is None:
        return "–"
    text = f"{value:,.6f}".rstrip("0").rstrip(".")
    whole, _dot, decimals = text.partition(".")
    return f"${whole}.{decimals:0<2}" if decimals else f"${whole}"


@register.filter
def price_text(value: str) -> str:
    """As `price`, of a tier, which holds its prices as text."""
    return price(Decimal(value) if value else None)


@register.filter
def key_states(keys: Iterable[ConnectionKey]) -> dict[str, int]:
    states = [key.state for key in keys]
    return {
        "total": len(states),
        "active": states.count(ConnectionKey.ACTIVE),
        "parked": states.count(ConnectionKey.PARKED),
    }


@register.simple_tag(takes_context=True)
def when(context: template.Context, at: datetime | None, empty: str = "") -> SafeString | str:
    """A relative time; the absolute one, in the organisation's zone, on hover."""
    if at is None:
        return empty
    local = timezone.localtime(at, _zone(context))
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', at.isoformat(), format_date(local, "j M Y H:i:s T"), ago(at)
    )


@register.simple_tag(takes_context=True)
def moment(context: template.Context, at: datetime | None) -> str:
    """In the organisation's zone, to the minute."""
    return format_date(timezone.localtime(at, _zone(context)), "j M Y H:i") if at else ""


@register.simple_tag(takes_context=True)
def passkey_obstacle(context: template.Context) -> Obstacle | None:
    return find_obstacle(context["request"])


def _zone(context: template.Context) -> ZoneInfo | None:
    organization = getattr(context.get("chrome"), "organization", None)
    return ZoneInfo(organization.time_zone) if organization else None


def ago(at: datetime) -> str:
    """`12 s ago`, `in 3 days`: one unit, rounded down."""
    seconds = (timezone.now() - at).total_seconds()
    amount = _amount(int(abs(seconds)))
    if amount is None:
        return _("just now")
    return _("in %(amount)s") % {"amount": amount} if seconds < 0 else _("%(amount)s ago") % {"amount": amount}


def _amount(seconds: int) -> str | None:
    if seconds < 5:
        return None
    if seconds < 60:
        return ngettext("%(n)d second", "%(n)d seconds", seconds) % {"n": seconds}
    if seconds < 3600:
        return ngettext("%(n)d minute", "%(n)d minutes", seconds // 60) % {"n": seconds // 60}
    if seconds < 86_400:
        return ngettext("%(n)d hour", "%(n)d hours", seconds // 3600) % {"n": seconds // 3600}
    days = seconds // 86_400
    if days < 60:
        return ngettext("%(n)d day", "%(n)d days", days) % {"n": days}
    return ngettext("%(n)d month", "%(n)d months", days // 30) % {"n": days // 30}


@register.simple_tag
def amount_of(standing: Standing, amount: int) -> str:
    """Of a budget, in its own unit."""
    if standing.unit == TOKENS:
        return _("%s tokens") % figures.compact(amount)
    return str(figures.usd(amount))


@register.filter
def bar_width(standing: Standing | InUse) -> str:
    """On a scale that goes on a little beyond the whole budget or limit."""
    return f"{min(standing.percent, 120)}"


@register.simple_tag
def sparkline(values: Sequence[float], most: float | None = None) -> SafeString:
    """A line over a faint area. It says nothing that the figure beside it does not, so it is hidden from readers.

    Args:
        most: what the upper edge stands for, where it is not the highest value.
    """
    line = sparkline_path(values, most)
    return format_html(
        '<svg class="spark" viewBox="0 0 {w} {h}" preserveAspectRatio="none" aria-hidden="true">'
        '<path class="area" d="{line} L{w} {h} L0 {h} Z"/><path class="line" d="{line}"/></svg>',
        w=_WIDTH,
        h=_HEIGHT,
        line=mark_safe(line),  # noqa: S308  only numbers
    )


def sparkline_path(values: Sequence[float], most: float | None = None) -> str:
    points = [float(value) for value in values] or [0.0]
    points = points * 2 if len(points) == 1 else points
    top = max(max(points), most or 0.0) or 1.0
    step = _WIDTH / (len(points) - 1)
    spots = (
        f"{index * step:.1f} {_HEIGHT - 2 - (value / top) * (_HEIGHT - 4):.1f}" for index, value in enumerate(points)
    )
    return "M" + " L".join(spots)


@register.filter
def widget_kind(field: forms.BoundField) -> str:
    widget = field.field.widget
    if isinstance(widget, forms.CheckboxInput):
        return "checkbox"
    if isinstance(widget, forms.RadioSelect | forms.CheckboxSelectMultiple):
        return "choices"
    return "input"


@register.filter
def widget(field: forms.BoundField, css_class: str) -> SafeString:
    """The input, saying whether it is wrong and by which text it is described."""
    attrs: dict[str, Any] = {}
    described = [f"{field.auto_id}_helptext"] if field.help_text else []
    if field.errors:
        attrs["aria-invalid"] = "true"
        described.append(f"{field.auto_id}_error")
    if described:
        attrs["aria-describedby"] = " ".join(described)
    classes = f"{field.field.widget.attrs.get('class', '')} {css_class}".strip()
    return field.as_widget(attrs=attrs | ({"class": classes} if classes else {}))
