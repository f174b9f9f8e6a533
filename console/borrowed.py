"""Sentences of Django that people meet here and that Django's own Thai catalogue leaves in English.

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
