"""How much to buy, and what pays first."""

from __future__ import annotations

from typing import Any, Self

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from accounts.scopes import CREDITS_FIRST, TOKENS_FIRST
from billing.topups import LEAST_CENTS, MOST_CENTS
from console.forms.base import ConsoleForm


class TopUpForm(ConsoleForm):
    amount_usd = forms.DecimalField(
        label=_("Amount in US dollars"),
        min_value=LEAST_CENTS // 100,
        max_value=MOST_CENTS // 100,
        decimal_places=2,
        initial=25,
        widget=forms.NumberInput(attrs={"inputmode": "decimal", "step": "0.01"}),
    )


class SpendingForm(ConsoleForm):
    spending_order = forms.ChoiceField(
        label=_("What pays first"),
        choices=[(TOKENS_FIRST, _("Tokens, then credits")), (CREDITS_FIRST, _("Credits, then tokens"))],
        help_text=_("Tokens are what your machines earned for your own use."),
    )
    credit_backup = forms.BooleanField(
        label=_("Credits pay when tokens are used up"),
        required=False,
        help_text=_(
            "Otherwise requests are refused until your machines have earned more. Only where tokens come first."
        ),
    )
    credit_backup_unlike = forms.CharField(
        label=_("Except for these models"),
        required=False,
        help_text=_("For each model named here, one per line, it is the other way round."),
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
    )

    @classmethod
    def of(cls, organization: Organization) -> Self:
        unlike = "\n".join(organization.credit_backup_unlike)
        about = {"spending_order": organization.spending_order, "credit_backup": organization.credit_backup}
        return cls(initial=about | {"credit_backup_unlike": unlike})

    def settings(self) -> dict[str, Any]:
        """As `set_spending` takes them."""
        unlike = [name.strip() for name in self.cleaned_data["credit_backup_unlike"].splitlines() if name.strip()]
        return self.cleaned_data | {"credit_backup_unlike": unlike}
