"""The guides of docs/ as pages: everything in them is read, and nothing of their Markdown is left over."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from console.guides import blocks_of, written
from console.pages.guides import DEVELOPER, PROVIDER


def text_of(text: str) -> str:
    (block,) = blocks_of(text)
    return block.html


def test_marks_in_a_line():
    assert text_of("a **b** *c* `d*e*` [f](https://x.example/?a=1&b)") == (
        'a <strong>b</strong> <em>c</em> <code>d*e*</code> <a class="link" href="https://x.example/?a=1&amp;b">f</a>'
    )


def test_nothing_slips_through_unescaped():
    assert text_of("<b> `<i>` **<u>**") == "&lt;b&gt; <code>&lt;i&gt;</code> <strong>&lt;u&gt;</strong>"
    assert text_of("[x](javascript:alert(1))") == "x)"
    assert text_of("[x](other.md)") == "x"


def test_a_guide_becomes_blocks():
    text = "# One\nline\nmore\n\n- a\n  b\n- c\n\n  | x | y |\n  |---|---|\n  | 1 | `a \\| b` |\n\nend\n"
    heading, paragraph, items, end = blocks_of(text)
    assert (heading.kind, heading.level, heading.html, heading.anchor) == ("heading", 1, "One", "one")
    assert (paragraph.html, end.html) == ("line more", "end")
    first, second = items.items
    assert [block.html for block in first] == ["a b"]
    assert second[1].rows == (("x", "y"), ("1", "<code>a | b</code>"))


def test_of_a_session_the_typed_part_is_copied():
    (block,) = blocks_of("```console\n$ one \\\n    more\nanswer\n$ two\n```")
    assert block.copied == "one \\\n    more\ntwo"
    assert "answer" in block.text


@pytest.mark.parametrize("language", PROVIDER)
@pytest.mark.parametrize(
    ("name", "files", "filled_in"),
    [
        ("provider-guide-in", PROVIDER, "curl -fsSL https://ai.example.com/install.sh"),
        ("developer-guide-in", DEVELOPER, "OPENAI_BASE_URL=https://ai.example.com/v1"),
    ],
)
def test_the_guide_is_served_whole(db, language, name, files, filled_in, settings):
    settings.PUBLIC_URL = "https://ai.example.com"
    shown = Client().get(reverse(name, args=[language])).content.decode()
    article = re.search(r"<article.*</article>", shown, re.S)[0]
    source = written(files[language])
    assert article.count("<h2") == len(re.findall(r"^## ", source, re.M))
    assert article.count("<pre") == len(re.findall(r"^```[a-z]", source, re.M))
    assert filled_in in article
    assert "your-console" not in article
    prose = re.sub(r"<(code|pre)[^>]*>.*?</\1>", "", article, flags=re.S)
    assert not re.search(r"\*\*|`|\]\(|^#|^\|", prose, re.M)


def test_it_speaks_the_reader_s_language_and_leads_to_the_other(as_browser, alice, acme):
    english = as_browser(alice).get(reverse("provider-guide")).content.decode()
    thai = as_browser(alice, "th").get(reverse("provider-guide")).content.decode()
    assert "Before you start" in english
    assert reverse("provider-guide-in", args=["th"]) in english
    assert "ก่อนเริ่ม" in thai
    assert reverse("provider-guide-in", args=["en"]) in thai


def test_there_is_no_third_language(db):
    assert Client().get(reverse("provider-guide-in", args=["de"])).status_code == 404


def test_both_languages_of_the_developer_guide_show_the_same_code():
    english, thai = (
        re.findall(r"^```(?:python|py|js|sh)\n.*?^```", written(name), re.M | re.S) for name in DEVELOPER.values()
    )
    assert english == thai
