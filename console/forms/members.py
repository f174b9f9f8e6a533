"""Who is invited, and as what."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.roles import DEVELOPER, OWNER, ROLES
from console.forms.base import ConsoleForm


class RoleForm(ConsoleForm):
    role = forms.ChoiceField(label=_("Role"), initial=DEVELOPER, widget=forms.RadioSelect({"class": "radio"}))

    def __init__(self, *args: Any, may_make_owners: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        given = self.initial.get("role")
        shown = [name for name in ROLES if name != OWNER or may_make_owners or given == OWNER]
        self.offer("role", [(name, ROLES[name]) for name in shown])


class InviteForm(RoleForm):
    field_order = ("email", "role")

    email = forms.EmailField(
        label=_("E-mail"), help_text=_("The link goes to this address only and works for seven days.")
    )
