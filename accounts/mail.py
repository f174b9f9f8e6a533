"""E-mails of this room: `templates/emails/<name>_subject.txt` and `<name>_message.txt`, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from smtplib import SMTPException
from typing import Any, NamedTuple

from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.utils.translation import override

NOT_TAKEN = (OSError, SMTPException)
"""What the mail server's client raises when the server is away, too slow, or refuses the message."""


class Message(NamedTuple):
    template: str
    to: str
    language: str
    values: Mapping[str, Any]


def send(message: Message) -> None:
    """Raises: NOT_TAKEN."""
    values = dict(message.values)
    with override(message.language):
        subject = render_to_string(f"emails/{message.template}_subject.txt", values)
        body = render_to_string(f"emails/{message.template}_message.txt", values)
    send_mail(" ".join(subject.split()), body, None, [message.to])
