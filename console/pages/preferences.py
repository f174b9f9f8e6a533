"""How the console looks and speaks for this browser: the theme and the language."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import check_for_language
from django.views.decorators.http import require_POST
from django.views.i18n import set_language

from accounts.models import User
from console.context import THEME_COOKIE, THEMES

_YEAR_S = 31_536_000


@require_POST
def language(request: HttpRequest) -> HttpResponseBase:
    """Django's own view sets the cookie; the account remembers it for e-mails and other browsers."""
    chosen = request.POST.get("language", "")
    if request.user.is_authenticated and check_for_language(chosen):
        User.objects.filter(pk=request.user.pk).update(language=chosen)
    return set_language(request)


@require_POST
def theme(request: HttpRequest) -> HttpResponseRedirect:
    """An unknown theme means "as the system". The cookie is readable by the script that switches without a reload."""
    chosen = request.POST.get("theme", "")
    back = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
        back = "/"
    response = HttpResponseRedirect(back)
    if chosen in THEMES:
        response.set_cookie(THEME_COOKIE, chosen, max_age=_YEAR_S, samesite="Lax", secure=settings.HTTPS)
    else:
        response.delete_cookie(THEME_COOKIE)
    return response
