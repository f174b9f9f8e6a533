"""What people do with their own accounts, as the audit log says it; see `accounts.account_trail`."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

ACTIONS: dict[str, Promise] = {
    "sign_in.succeeded": _("signed in:"),
    "sign_in.failed": _("failed to sign in as"),
    "sign_in.ended": _("signed out:"),
    "sessions.ended": _("signed out all other browsers of"),
    "password.changed": _("changed the password of"),
    "password.set": _("set a first password for"),
    "password.reset": _("reset the password of"),
    "email.added": _("added an e-mail address to"),
    "email.removed": _("removed an e-mail address from"),
    "email.confirmed": _("proved an e-mail address of"),
    "email.main_changed": _("changed the main e-mail address of"),
    "totp.added": _("added an authenticator app to"),
    "totp.removed": _("removed the authenticator app from"),
    "passkey.added": _("added a passkey to"),
    "passkey.removed": _("removed a passkey from"),
    "recovery_codes.generated": _("made new recovery codes for"),
    "recovery_codes.removed": _("removed the recovery codes of"),
    "sign_in_provider.linked": _("linked a sign-in by others to"),
    "sign_in_provider.unlinked": _("unlinked a sign-in by others from"),
}

OBJECT_TYPES: dict[str, Promise] = {"account": _("Account")}
