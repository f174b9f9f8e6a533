"""What people type about money: how much to buy and when by itself, what pays first, whom to bill, where it goes."""

from __future__ import annotations

from typing import Any, Self

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from accounts.scopes import CREDITS_FIRST, TOKENS_FIRST
from billing.topups import LEAST_CENTS, MOST_CENTS
from console.forms.base import ConsoleForm


def _dollars(label: Any, initial: int, *, least: int = LEAST_CENTS // 100, help_text: Any = "") -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        min_value=least,
        max_value=MOST_CENTS // 100,
        decimal_places=2,
        initial=initial,
        help_text=help_text,
        widget=forms.NumberInput(attrs={"inputmode": "decimal", "step": "0.01"}),
    )


class TopUpForm(ConsoleForm):
    amount_usd = _dollars(_("Amount in US dollars"), 25)
    keeps_card = forms.BooleanField(
        label=_("Keep this card for automatic top-ups"),
        required=False,
        help_text=_("The payment service keeps it. Nothing is charged by itself before you turn that on."),
    )


class AutoTopUpForm(ConsoleForm):
    is_on = forms.BooleanField(label=_("Top up by itself"), required=False)
    threshold_usd = _dollars(_("When less than this is available (US dollars)"), 10, least=1)
    amount_usd = _dollars(_("Buy this much (US dollars)"), 25)
    monthly_cap_usd = _dollars(
        _("At most this much in a calendar month (US dollars)"),
        100,
        help_text=_("Months are those of UTC. Credits that you order yourself do not count."),
    )


class VoucherForm(ConsoleForm):
    code = forms.CharField(
        label=_("Voucher code"),
        max_length=60,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "class": "input-code"}),
    )


class DetailsForm(ConsoleForm):
    name = forms.CharField(label=_("Name on invoices"), max_length=120)
    email = forms.EmailField(label=_("E-mail for invoices"), required=False)
    line1 = forms.CharField(label=_("Address"), max_length=120, required=False)
    line2 = forms.CharField(label=_("Address, second line"), max_length=120, required=False)
    postal_code = forms.CharField(label=_("Postal code"), max_length=20, required=False)
    city = forms.CharField(label=_("City"), max_length=80, required=False)
    country = forms.CharField(
        label=_("Country"), max_length=2, required=False, help_text=_("Two letters, such as TH or DE.")
    )
    tax_id = forms.CharField(
        label=_("Tax id"), max_length=30, required=False, help_text=_("It is printed on invoices and receipts.")
    )


class OnboardForm(ConsoleForm):
    country = forms.CharField(
        label=_("Country where you are paid"), max_length=2, help_text=_("Two letters, such as TH or DE.")
    )


class BankForm(ConsoleForm):
    holder = forms.CharField(label=_("Holder of the account"), max_length=120)
    account = forms.CharField(label=_("IBAN or account number"), max_length=60)
    bank = forms.CharField(
        label=_("Bank"), max_length=120, help_text=_("Its name and code (SWIFT, or number of the branch).")
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
