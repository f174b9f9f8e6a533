"""Vouchers and bank payouts, as staff enter them."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.vouchers import LONGEST_REASON, MOST_AT_ONCE, MOST_USD, MOST_USES, new_batch
from console.forms.base import ConsoleForm


class VoucherBatchForm(ConsoleForm):
    renames = {"expires_at": "until"}

    amount_usd = forms.DecimalField(
        label=_("Credits of each (US dollars)"), min_value=0, max_value=MOST_USD, decimal_places=2, initial=25,
        widget=forms.NumberInput(attrs={"inputmode": "decimal", "step": "0.01"}),
    )  # fmt: skip
    count = forms.IntegerField(
        label=_("How many codes"), min_value=1, max_value=MOST_AT_ONCE, initial=1,
        help_text=_("Each has a code of its own, shown once, when they are made."),
    )  # fmt: skip
    uses = forms.IntegerField(
        label=_("Uses of each code"), min_value=1, max_value=MOST_USES, initial=1,
        help_text=_("By so many organisations, once each."),
    )  # fmt: skip
    until = forms.DateField(
        label=_("Last day (UTC)"), required=False, widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("Empty: they do not expire."),
    )  # fmt: skip
    code = forms.CharField(
        label=_("A code of your own"), max_length=60, required=False,
        help_text=_("For one code that many know, such as LAUNCH2027. Empty: codes that nobody can guess."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "class": "input-code"}),
    )  # fmt: skip
    reason = forms.CharField(
        label=_("Reason"), max_length=LONGEST_REASON, help_text=_("One line. Whoever redeems a code reads it.")
    )
    batch = forms.RegexField(
        r"^vob_[0-9a-f]{32}$", required=False, initial=new_batch, widget=forms.HiddenInput()
    )  # two clicks are one wish

    def clean_amount_usd(self) -> Any:
        amount = self.cleaned_data["amount_usd"]
        if not amount:
            raise forms.ValidationError(_("Give more than nothing."))
        return amount

    def clean_until(self) -> datetime | None:
        """The end of that day."""
        day = self.cleaned_data["until"]
        if day is None:
            return None
        moment = datetime.combine(day, time(23, 59, 59), UTC)
        if moment <= timezone.now():
            raise forms.ValidationError(_("This day has passed."))
        return moment

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("code") and cleaned.get("count", 1) > 1:
            self.add_error("code", _("A code of your own is one code: make 1."))
        return cleaned


class PaidForm(ConsoleForm):
    reference = forms.CharField(
        label=_("The bank's reference"), max_length=70, help_text=_("Different for each payout.")
    )


class FailedForm(ConsoleForm):
    reason = forms.CharField(
        label=_("Why"), max_length=80, help_text=_("Who waits for the money reads it."),
    )  # fmt: skip


class BankCheckForm(ConsoleForm):
    problem = forms.CharField(label=_("What is wrong with it"), max_length=200, required=False)
