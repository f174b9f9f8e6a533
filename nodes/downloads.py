"""What a machine fetches to become a node: the installers and the agent's packages. Nothing of it is secret.

The installers name this console. They run as shell words on other people's machines, so the name is the configured
one, never what a request claims, and only if it is an origin and nothing else.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable
from functools import wraps
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from nodes.packages import INSTALLERS, CannotBuild, Package, agent_folder, packages

PLACEHOLDER = "@@CONSOLE@@"
TEXT = "text/plain; charset=utf-8"
TYPES = {"json": "application/json", "txt": TEXT, "SHA256SUMS": TEXT, "deb": "application/vnd.debian.binary-package"}
BINARY = "application/octet-stream"
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")

logger = logging.getLogger(__name__)

View = Callable[..., HttpResponse]


def console_origin() -> str:
    """Scheme, host and port of PUBLIC_URL.

    Raises:
        ImproperlyConfigured: it holds characters that no origin has.
    """
    parts = urlsplit(settings.PUBLIC_URL)
    origin = f"{parts.scheme}://{parts.netloc}".lower()
    if not _ORIGIN.fullmatch(origin):
        raise ImproperlyConfigured(f"PUBLIC_URL is no address that installers could name: {settings.PUBLIC_URL!r}")
    return origin


def _told_when_absent(view: View) -> View:
    @wraps(view)
    def told(request: HttpRequest, **words: str) -> HttpResponse:
        try:
            return view(request, **words)
        except (CannotBuild, ImproperlyConfigured) as error:
            logger.error("The agent is not offered: %s", error)
            sentence = "This console cannot offer the agent at the moment. Its log says why.\n"
            return HttpResponse(sentence, status=503, content_type=TEXT)

    return told


@require_safe
@_told_when_absent
def installer(request: HttpRequest, *, name: str) -> HttpResponse:
    """install.sh or install.ps1, with this console's origin in it."""
    script = (agent_folder() / INSTALLERS / name).read_text("utf-8")
    data = script.replace(PLACEHOLDER, console_origin()).encode()
    return _answer(request, Package(data, hashlib.sha256(data).hexdigest()), TEXT)


@require_safe
@_told_when_absent
def package(request: HttpRequest, *, name: str) -> HttpResponse:
    found = packages().files.get(name)
    if found is None:
        return HttpResponse("There is no such file. The list is latest.json.\n", status=404, content_type=TEXT)
    return _answer(request, found, TYPES.get(name.rpartition(".")[2], BINARY))


def _answer(request: HttpRequest, found: Package, content_type: str) -> HttpResponse:
    """Whole, or 304 to whoever has it. Names stay while contents change, so caches have to ask."""
    etag = f'"{found.sha256}"'
    asked = {tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")}
    if etag in asked or "*" in asked:
        answer = HttpResponse(status=304)
    else:
        answer = HttpResponse(found.data, content_type=content_type)
    answer["ETag"] = etag
    answer["Cache-Control"] = "public, no-cache"
    return answer
