"""allauth's hooks: language, invitations, redirects that stay in the house, and a mail server that is away."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _

from accounts import account_trail, current, invitations
from accounts.mail import NOT_TAKEN
from accounts.models import User

logger = logging.getLogger(__name__)

WAITED_FOR = {
    "account/email/email_confirmation_signup",
    "account/email/email_confirmation",
    "account/email/login_code",
    "account/email/password_reset_key",
    "account/email/account_already_exists",
    "account/email/unknown_account",
}
"""The mails that the page asks its reader to look for; the last two stand for the others where no account is."""

CLAIMS_OF_SENDING = {"account/messages/email_confirmation_sent.txt", "account/messages/login_code_sent.txt"}
PAGES_TO_ASK_AGAIN = {"account_reset_password"}
"""Those whose next page has no way to send again."""


class AccountAdapter(DefaultAccountAdapter):
    def new_user(self, request: HttpRequest) -> User:
        return User(language=_language_of_visitor())

    def is_email_verified(self, request: HttpRequest, email: str) -> bool:
        """An invitation's link was read in that mailbox."""
        invitation = invitations.find_remembered(request)
        return invitation is not None and invitation.email == email.lower()

    def get_client_ip(self, request: HttpRequest) -> str:
        """Raises: PermissionDenied: nobody knows, as of a request that passed by some of the trusted proxies."""
        try:
            return str(super().get_client_ip(request))
        except ImproperlyConfigured as error:
            raise PermissionDenied("The request did not come through all trusted proxies") from error

    def is_safe_url(self, url: str | None) -> bool:
        """Only this site, by the name it was called by or its public one."""
        hosts = {self.request.get_host(), urlsplit(settings.PUBLIC_URL).netloc}
        return url_has_allowed_host_and_scheme(url, allowed_hosts=hosts, require_https=self.request.is_secure())

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        account_trail.note_failed_password(request, credentials.get("email") or "")

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """Whoever came by an invitation and has yet to accept it goes back to it."""
        if invitations.find_remembered(request):
            return invitations.REMEMBERED_PATH
        return super().get_login_redirect_url(request)

    def post_login(self, request: HttpRequest, user: User, **facts: Any) -> HttpResponse:
        current.note_sign_in(request)
        response: HttpResponse = super().post_login(request, user, **facts)
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            user.language,
            max_age=settings.LANGUAGE_COOKIE_AGE,
            secure=settings.SESSION_COOKIE_SECURE,
            samesite="Lax",
        )
        return response

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """In the reader's language where the reader is known, else in that of the page."""
        reader = User.objects.filter(email__iexact=email).first()
        try:
            with override(reader.language if reader else get_language()):
                super().send_mail(template_prefix, email, context)
        except NOT_TAKEN:
            logger.exception("The mail server did not take %s", template_prefix)
            if template_prefix in WAITED_FOR:
                self._tell_undelivered(email)

    def _tell_undelivered(self, email: str) -> None:
        """What was asked for stands, and its page offers to send again."""
        text = _("The e-mail to %(email)s could not be sent now. Nothing is lost: ask for it again in a minute.")
        messages.error(self.request, text % {"email": email})
        self.request.allauth.is_undelivered = True
        page = self.request.resolver_match.view_name
        if page in PAGES_TO_ASK_AGAIN:
            raise ImmediateHttpResponse(redirect(page))

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None, *rest: Any, **named: Any
    ) -> None:
        """Never says of a mail that it was sent when it was not."""
        was_sent = not getattr(self.request.allauth, "is_undelivered", False)
        if was_sent or message_template not in CLAIMS_OF_SENDING:
            super().add_message(request, level, message_template, *rest, **named)


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> User:
        user: User = super().populate_user(request, sociallogin, data)
        parts = (data.get("first_name"), data.get("last_name"))
        user.name = (data.get("name") or " ".join(part for part in parts if part))[:120]
        return user


def _language_of_visitor() -> str:
    language = get_language() or settings.LANGUAGE_CODE
    return language if language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
