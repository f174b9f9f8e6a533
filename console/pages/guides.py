"""The guides of `docs/`, in the reader's language, with this console's address filled in. Open to everybody."""

from __future__ import annotations

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import get_language
from django.views.decorators.http import require_GET

from console.guides import blocks_of, written

PROVIDER = {"en": "provider-guide.md", "th": "provider-guide.th.md"}
DEVELOPER = {"en": "developer-guide.md", "th": "developer-guide.th.md"}
_PLACEHOLDER = "https://your-console"
_GUIDES = {"provider-guide-in": PROVIDER, "developer-guide-in": DEVELOPER}
"""By the URLs at which they are in a language that the address names."""


@require_GET
def provider(request: HttpRequest, language: str = "") -> HttpResponse:
    return _guide(request, PROVIDER, language)


@require_GET
def developer(request: HttpRequest, language: str = "") -> HttpResponse:
    return _guide(request, DEVELOPER, language)


def _guide(request: HttpRequest, files: dict[str, str], language: str) -> HttpResponse:
    """In the language that the address names, or else in the console's."""
    if language and language not in files:
        raise Http404
    language = language or (get_language() or "en").partition("-")[0]
    text = written(files.get(language, files["en"])).replace(_PLACEHOLDER, settings.PUBLIC_URL)
    title, *blocks = blocks_of(text, _link)
    context = {
        "title": title.html,
        "blocks": blocks,
        "contents": [block for block in blocks if block.kind == "heading" and block.level == 2],
        "written_in": language,
    }
    return render(request, "docs/guide.html", context)


def _link(to: str) -> str:
    """Guides name each other by their files."""
    for url, files in _GUIDES.items():
        for language, name in files.items():
            if to.partition("#")[0] == name:
                return reverse(url, args=[language]) + to.removeprefix(name)
    return to
