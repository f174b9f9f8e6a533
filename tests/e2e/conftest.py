"""A real browser on a real gateway, in front of two fault servers; nothing is mocked."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, sync_playwright

from accounts.models import User
from tests.fakes.upstream import FaultUpstream
from tests.stack import GatewayProcess, Tenant, allow_of, make_tenant

PROJECT = Path(__file__).resolve().parents[2]
ARTIFACTS = PROJECT / "test-artifacts"
PICTURES = os.environ.get("SHAREAI_PICTURES") == "1"
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--js-flags=--no-opt,--no-maglev",
]  # fmt: skip
"""No page lives long enough for its code to be worth optimising: interpreting it is the cheapest way through."""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
ASK_AXE = (
    """rules => axe.run(document, {runOnly: rules, resultTypes: ["violations"]}).then(result => result.violations)"""
)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser"))), None)
"""The shell is the same engine without a browser's own windows, which are pages too and cost as much as ours."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="no Chromium on PATH; `make test` as root installs it"))


@pytest.fixture(scope="package")
def upstreams() -> Iterator[tuple[FaultUpstream, FaultUpstream]]:
    with FaultUpstream(name="A", models=("sim-chat",)) as a, FaultUpstream(name="B", models=("sim-chat",)) as b:
        yield a, b


@pytest.fixture(scope="package")
def gateway(django_db_setup, django_db_blocker, upstreams, tmp_path_factory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("console")
    with override_settings(STATIC_ROOT=folder / "staticfiles"):
        call_command("collectstatic", interactive=False, verbosity=0)
    with django_db_blocker.unblock():
        process = GatewayProcess(folder, egress_allow=allow_of(upstreams), EMAIL_VERIFICATION="optional")
        process._environment["PUBLIC_URL"] = process.url
        process.start()
        yield process
        process.stop()


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """Its loop runs in this thread until it is closed, and Django takes that for an async context."""
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield playwright


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    yield browser
    browser.close()


@pytest.fixture
def tenant(gateway, django_db_blocker, settings, upstreams) -> Iterator[Tenant]:
    """Two connections for one model. Rows are committed, for the gateway's process to see, and stay."""
    settings.EGRESS_ALLOW = allow_of(upstreams)
    with django_db_blocker.unblock():
        for upstream in upstreams:
            upstream.heal()
        tenant = make_tenant("Acme Robotics")
        for upstream in upstreams:
            tenant.connect(upstream.base_url, [{"id": "sim-chat", "input_price": "0.5", "output_price": "1.5"}])
        yield tenant


@pytest.fixture
def context(browser: Browser, gateway: GatewayProcess) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=gateway.url, viewport={"width": 1360, "height": 860})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """Fails the test for any error in the console and any answer of 400 or more that was not expected."""
    page, errors = context.new_page(), Errors()
    page.on("console", errors.hear)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("response", lambda answer: answer.status >= 400 and errors.append(f"{answer.status} {answer.url}"))
    page.set_default_timeout(15_000)
    yield page
    assert not errors


class Errors(list[str]):
    def hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.append(f"{message.type}: {message.text}")


@pytest.fixture
def sign_in(context: BrowserContext, gateway: GatewayProcess, tenant: Tenant) -> Callable[..., None]:
    """Puts a session of this user, a theme and a language into the browser."""

    def sign_in(user: User | None = None, theme: str = "light", language: str = "en") -> None:
        user = user or tenant.owner
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session["signed_in_at_s"] = timezone.now().timestamp()
        session.save()
        cookies = {
            "sessionid": session.session_key,
            "theme": theme,
            "django_language": language,
        }
        context.add_cookies([{"name": name, "value": value, "url": gateway.url} for name, value in cookies.items()])

    return sign_in


def violations(page: Page) -> list[str]:
    """What axe-core finds on the page as it stands."""
    page.evaluate(AXE.read_text())
    found = page.evaluate(ASK_AXE, RULES)
    return [f"{each['id']}: {node['html'][:160]}" for each in found for node in each["nodes"]]


def keep(page: Page, name: str, *, full_page: bool = False) -> None:
    """Waits for the fonts; SHAREAI_PICTURES=1 keeps a picture of what is then seen."""
    page.evaluate("() => document.fonts.ready.then(() => true)")
    if not PICTURES:
        return
    ARTIFACTS.mkdir(exist_ok=True)
    file = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")
    page.screenshot(path=ARTIFACTS / f"{file}.png", full_page=full_page)


def overflows(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))
