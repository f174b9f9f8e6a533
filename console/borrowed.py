"""Sentences that people meet here: of Django those that its own Thai catalogue leaves in English, of allauth those of
which its own says something else, or with names that the sentence does not know.

Nothing imports this module: being written here puts them into this project's catalogue, which is asked first.
"""

from django.utils.translation import gettext_noop, ngettext

TEXTS = (
    gettext_noop("Enter a valid integer."),
    gettext_noop("Null characters are not allowed."),
    gettext_noop("Enter a complete value."),
    gettext_noop("The password is too similar to the %(verbose_name)s."),
    gettext_noop("Your password can’t be too similar to your other personal information."),
    gettext_noop("This password is too common."),
    gettext_noop("Your password can’t be a commonly used password."),
    gettext_noop("This password is entirely numeric."),
    gettext_noop("Your password can't be entirely numeric."),
    gettext_noop("Enter the same password as before, for verification."),
)

OF_ALLAUTH = (
    gettext_noop("Confirm Access"),
    gettext_noop("Enter your password:"),
    gettext_noop("Please reauthenticate to safeguard your account."),
    gettext_noop("A security key has been removed."),
    gettext_noop("A user is already registered with this email address."),
    gettext_noop("Are you sure you want to remove this security key?"),
    gettext_noop("Bad Token"),
    gettext_noop("Change to"),
    gettext_noop("Current"),
    gettext_noop("Current email"),
    gettext_noop("Do you really want to remove the selected email address?"),
    gettext_noop("Download codes"),
    gettext_noop("Email (again)"),
    gettext_noop("Email Changed"),
    gettext_noop("Email Removed"),
    gettext_noop("IP Address"),
    gettext_noop("Incorrect password."),
    gettext_noop("Invalid token."),
    gettext_noop("Passkey"),
    gettext_noop("Password Changed"),
    gettext_noop("Password Set"),
    gettext_noop("Add Security Key"),
    gettext_noop("Edit Security Key"),
    gettext_noop("Remove Security Key"),
    gettext_noop("Security Key Added"),
    gettext_noop("Security Key Removed"),
    gettext_noop("Security key"),
    gettext_noop("Security Keys"),
    gettext_noop("Sign-In Code"),
    gettext_noop("This key does not indicate whether it is a passkey."),
    gettext_noop("Unknown Account"),
    gettext_noop("You cannot add more than %d email addresses."),
    gettext_noop("You cannot remove your primary email address (%(email)s)."),
    gettext_noop("You must type the same email each time."),
    gettext_noop("You must type the same password each time."),
    gettext_noop("Your email address is still pending verification."),
    gettext_noop("Your email has been changed from %(from_email)s to %(to_email)s."),
    gettext_noop("Your email has been confirmed."),
    gettext_noop("Your password has been set."),
    gettext_noop(
        "You're receiving this email because you or someone else has requested a password reset for your user "
        "account.\nIt can be safely ignored if you did not request a password reset. Click the link below to reset "
        "your password."
    ),
)


def counted(n: int) -> tuple[str, ...]:
    return (
        ngettext(
            "This password is too short. It must contain at least %d character.",
            "This password is too short. It must contain at least %d characters.",
            n,
        ),
        ngettext(
            "Your password must contain at least %(min_length)d character.",
            "Your password must contain at least %(min_length)d characters.",
            n,
        ),
    )
