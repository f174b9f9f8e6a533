"""Nothing that people read is left in English when they chose Thai."""

from __future__ import annotations

import ast
import re
from gettext import GNUTranslations
from pathlib import Path

import allauth
import pytest
from django.contrib.auth.password_validation import password_validators_help_texts
from django.utils.translation import gettext, override
from django.utils.translation.template import templatize

from console import figures
from console.templatetags import console as tags

PROJECT = Path(__file__).resolve().parents[3]
CATALOGUE = PROJECT / "locale" / "th" / "LC_MESSAGES"
ROOMS = ("accounts", "billing", "console", "ledger", "metering", "nodes", "providers", "routing")
MARKERS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy", "pgettext", "pgettext_lazy"}
SAME_IN_THAI = re.compile(r"[^A-Za-z]*")


@pytest.fixture(scope="module")
def compiled() -> dict[str, str]:
    with (CATALOGUE / "django.mo").open("rb") as file:
        catalogue = GNUTranslations(file)._catalog
    return {key if isinstance(key, str) else key[0]: text for key, text in catalogue.items() if key}


def marked_in_python(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in MARKERS and node.args:
            # Of singular and plural the singular is the key; of context and text the text.
            first = node.args[1] if node.func.id.startswith("pgettext") else node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                found.add(first.value)
    return found


def marked_in_template(source: str) -> set[str]:
    found = set()
    for call in re.finditer(r"\bn?p?gettext\((.*?)\)(?=\s|$|X|;)", templatize(source), re.S):
        literal = re.match(r"""\s*u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|'''.*?''')""", call[1], re.S)
        if literal:
            found.add(ast.literal_eval(literal[1]))
    return found


def sources() -> list[Path]:
    python = [path for room in ROOMS for path in (PROJECT / room).rglob("*.py") if "migrations" not in path.parts]
    return [*python, *(PROJECT / "templates").rglob("*.html"), *(PROJECT / "templates").rglob("*.txt")]


def test_every_sentence_has_its_thai(compiled):
    missing = {}
    for path in sources():
        find = marked_in_python if path.suffix == ".py" else marked_in_template
        unknown = {text for text in find(path.read_text()) if text.strip() and text not in compiled}
        if unknown:
            missing[str(path.relative_to(PROJECT))] = sorted(unknown)
    assert not missing


def test_the_search_for_sentences_finds_them():
    assert marked_in_template(
        '{% load i18n %}{% translate "Save" %}{% blocktranslate %}a {{ b }}{% endblocktranslate %}'
    ) == {
        "Save",
        "a %(b)s",
    }
    assert marked_in_python('_("one")\nngettext("%d day", "%d days", 3)\npgettext("month", "May")') == {
        "one",
        "%d day",
        "May",
    }
    assert sum(len(marked_in_template(path.read_text())) for path in sources() if path.suffix == ".html") > 400


def test_every_translation_is_thai(compiled):
    english = [key for key, text in compiled.items() if not re.search("[\u0e00-\u0e7f]", text)]
    assert [key for key in english if not SAME_IN_THAI.fullmatch(key)] == []


def test_placeholders_survive_translation(compiled):
    for key, text in compiled.items():
        assert sorted(re.findall(r"%\(\w+\)[sd]|%[sd]|<[^>]+>", key)) == sorted(
            re.findall(r"%\(\w+\)[sd]|%[sd]|<[^>]+>", text)
        ), key


def test_the_compiled_catalogue_is_the_written_one(compiled, tmp_path):
    written = (CATALOGUE / "django.po").read_text()
    assert "fuzzy" not in written
    entries = re.findall(r"^msgid (.+?)^msgstr(?:\[0\])? (.+?)(?:\n\n|\Z)", written, re.M | re.S)
    texts = {joined(key.split("msgid_plural")[0]): joined(text) for key, text in entries}
    texts.pop("", None)
    assert texts == compiled


def joined(literals: str) -> str:
    return "".join(ast.literal_eval(line) for line in re.findall(r'"(?:[^"\\]|\\.)*"', literals))


def test_times_and_money_are_told_in_thai():
    with override("th"):
        from datetime import timedelta

        from django.utils import timezone

        assert tags.ago(timezone.now() - timedelta(minutes=3)) == "3 นาทีที่แล้ว"
        assert "ต่อ 1,000" in tags.money(123_000)


@pytest.mark.parametrize(
    ("nanos", "shown", "exact"),
    [
        (0, "$0.00", "$0.00"),
        (123_000, "$0.000123", "$0.000123"),
        (123_456, "$0.000123", "$0.000123456"),
        (9_999_999, "$0.01", "$0.009999999"),
        (10_000_000, "$0.01", "$0.01"),
        (1_234_567_890, "$1.23", "$1.23456789"),
        (1_234_567_890_123, "$1,234.57", "$1234.567890123"),
        (-5_000, "-$0.000005", "-$0.000005"),
    ],
)
def test_money_is_rounded_for_people_and_exact_on_hover(nanos, shown, exact):
    assert (figures.usd(nanos), figures.usd_exact(nanos)) == (shown, exact)


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0"), (987, "987"), (9_870, "9,870"), (12_345, "12.3k"), (999_999, "1M"), (4_560_000, "4.56M"), (2e9, "2B")],
)
def test_counts_are_short(number, shown):
    assert figures.compact(number) == shown


def test_what_a_password_must_be_is_said_in_thai():
    """Django's sentences: borrowed ones must be spelt as Django spells them now."""
    with override("th"):
        said = password_validators_help_texts()
    assert said
    assert [text for text in said if not re.search("[\u0e00-\u0e7f]", text)] == []


PLACES = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}")


def test_what_allauth_says_in_thai_has_no_place_that_nobody_fills():
    with (Path(allauth.__file__).parent / "locale/th/LC_MESSAGES/django.mo").open("rb") as file:
        said = [key for key in GNUTranslations(file)._catalog if isinstance(key, str) and key]
    assert len(said) > 200
    with override("th"):
        left = {
            text: places for text in said if (places := {*PLACES.findall(gettext(text))} - {*PLACES.findall(text)})
        }
    assert left == {}
