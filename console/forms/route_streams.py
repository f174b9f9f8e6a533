"""What a route says of its streams, as a person sets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms.base import ConsoleForm
from routing.stream_policies import LONGEST_HEDGE_MS, MOST_EXTRA_USD, MOST_HEDGED_PERCENT, USUAL_HEDGED_PERCENT


class RouteStreamsForm(ConsoleForm):
    """The part of `RouteForm` that `templates/routes/_streams.html` shows."""

    continue_streams = forms.BooleanField(
        label=_("Continue a broken stream at another target"),
        required=False,
        help_text=_(
            "When a target fails in the middle of a text, the next one that can goes on with it: one marked "
            "“prefill”, or one of which no abilities are listed. Each is billed its part, so the prompt is paid for "
            "twice. Never with tools under way, reasoning or JSON."
        ),
    )
    hedges = forms.BooleanField(
        label=_("Ask a second target when the first is slow to begin"),
        required=False,
        help_text=_(
            "For streams. Who begins first answers, the other one is let go within a second. What it cost upstream "
            "is shown with the request and not charged. Only targets that you pay yourself are asked so."
        ),
    )
    hedge_after_ms = forms.IntegerField(
        label=_("After, in milliseconds"),
        min_value=1,
        max_value=LONGEST_HEDGE_MS,
        required=False,
        help_text=_("Empty: when it takes longer than 95 of 100 streams of that target did."),
    )
    most_percent = forms.IntegerField(
        label=_("Of 100 streams at most"),
        min_value=1,
        max_value=MOST_HEDGED_PERCENT,
        required=False,
        help_text=_("Empty: 5."),
    )
    most_extra_usd = forms.DecimalField(
        label=_("May lose at most, in USD"),
        min_value=0,
        max_value=MOST_EXTRA_USD,
        required=False,
        help_text=_("Not for a prompt that may cost more. Empty: 0.01."),
    )

    def streams_content(self) -> dict[str, Any]:
        given, extra = self.cleaned_data, self.cleaned_data["most_extra_usd"]
        hedge = {
            "after_ms": given["hedge_after_ms"],
            "most_percent": given["most_percent"] or USUAL_HEDGED_PERCENT,
            "most_extra_usd": None if extra is None else format(extra.normalize(), "f"),
        }
        return {"continue_streams": given["continue_streams"], "hedge": hedge if given["hedges"] else None}


def streams_initial(content: Mapping[str, Any]) -> dict[str, Any]:
    hedge = content["hedge"] or {}
    return {
        "continue_streams": content["continue_streams"],
        "hedges": bool(hedge),
        "hedge_after_ms": hedge.get("after_ms"),
        "most_percent": hedge.get("most_percent"),
        "most_extra_usd": hedge.get("most_extra_usd"),
    }
