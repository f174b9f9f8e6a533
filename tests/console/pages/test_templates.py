"""What holds for every template: the content security policy, the icons, the components."""

import re
from pathlib import Path

import lucide
import pytest
from django.template.loader import get_template
from django.urls import reverse

TEMPLATES = Path(__file__).resolve().parents[3] / "templates"
STATIC = TEMPLATES.parent / "static"
PAGES = sorted(str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.html"))


@pytest.mark.parametrize("name", PAGES)
def test_it_can_be_parsed(name):
    get_template(name)


@pytest.mark.parametrize("name", PAGES)
def test_it_has_no_inline_script_or_style(name):
    text = (TEMPLATES / name).read_text()
    assert not re.search(r"\sstyle\s*=|\son[a-z]+\s*=\s*[\"']|javascript:", text)
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)


@pytest.mark.parametrize("name", PAGES)
def test_it_fetches_nothing_from_elsewhere(name):
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", (TEMPLATES / name).read_text())


def test_every_icon_exists():
    named = set()
    for name in PAGES:
        text = (TEMPLATES / name).read_text()
        named |= set(re.findall(r'{% lucide "([^"]+)"', text)) | set(re.findall(r'icon="([^"{]+)"', text))
    assert len(named) > 40
    for name in named:
        assert lucide._render_icon(name, 16)


def test_pages_forbid_inline_scripts_and_foreign_hosts(as_browser, alice, acme):
    policy = as_browser(alice).get(reverse("home"))["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy
    assert "http" not in policy


def test_the_stylesheet_names_only_files_that_are_there():
    sheet = (STATIC / "css" / "app.css").read_text()
    names = re.findall(r"url\((\.\./[^)]+)\)", sheet)
    assert len(names) >= 7
    for name in names:
        assert (STATIC / "css" / name).resolve().exists(), name


def test_an_error_page_needs_nothing(client, settings):
    settings.DEBUG = False
    client.raise_request_exception = False
    assert get_template("500.html").render()
