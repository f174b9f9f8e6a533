"""The reference of the API in a real browser, where the content security policy is enforced."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect


class Visit:
    """The page, what it complained about, and who answered it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.heard: list[str] = []
        self.asked: set[str] = set()
        page.on("console", lambda message: message.type in ("error", "warning") and self.heard.append(message.text))
        page.on("pageerror", lambda error: self.heard.append(str(error)))
        page.on("request", lambda request: self.asked.add(urlsplit(request.url).netloc))


def visit_in(context: BrowserContext) -> Visit:
    visit = Visit(context.new_page())
    visit.page.goto("/docs/api")
    expect(visit.page.get_by_role("heading", name="Rotate a key")).to_be_attached(timeout=30_000)
    return visit


@pytest.fixture(scope="module")
def visit(browser, gateway) -> Iterator[Visit]:
    """One for all tests that look at it as it stands: the page is large."""
    context = browser.new_context(base_url=gateway.url, viewport={"width": 1360, "height": 860})
    yield visit_in(context)
    context.close()


@pytest.mark.parametrize("heading", ["Chat", "Embed texts", "Create a key", "Add a provider"])
def test_it_shows_both_apis(visit, heading):
    expect(visit.page.get_by_role("heading", name=heading).first).to_be_attached()
    assert visit.heard == []


def test_everything_comes_from_this_server(visit, gateway):
    visit.page.wait_for_load_state("networkidle")
    assert visit.asked - {""} == {urlsplit(gateway.url).netloc}
    assert visit.page.get_by_alt_text("redocly logo").count() == 0


def test_its_search_finds_an_operation(context):
    visit = visit_in(context)
    visit.page.get_by_placeholder("Search...").fill("rotate")
    found = visit.page.locator("[role=search] ~ * , [data-role='search:results']").get_by_text("Rotate a key").first
    expect(found).to_be_visible(timeout=20_000)  # its index is made aside, when the machine has time
    assert visit.heard == []
