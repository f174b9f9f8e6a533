"""How the console looks for this browser: the theme. The language is Django's own view."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from console.context import THEME_COOKIE, THEMES

_YEAR_S = 31_536_000


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
