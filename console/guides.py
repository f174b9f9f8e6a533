"""Guides of `docs/` as pages: the Markdown that they use, read into blocks that a template draws.

Not Markdown in general: headings, paragraphs, lists with anything inside, tables, fenced code; bold, italics, code
and links in a line. What else a guide holds would show as it is written, and a test looks for that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify


@dataclass(frozen=True, slots=True)
class Block:
    """
    Args:
        kind: heading, paragraph, code, table or list.
        html: of a heading or paragraph; escaped.
        language: of code, as people call it; empty for a terminal.
        text: of code, as it is shown; `copied` is what is typed of it, without prompts and what a shell answers.
        rows: of a table, the head first; cells as HTML.
        items: of a list, each with its own blocks.
    """

    kind: str
    html: str = ""
    level: int = 0
    anchor: str = ""
    language: str = ""
    text: str = ""
    copied: str = ""
    rows: tuple[tuple[SafeString, ...], ...] = ()
    items: tuple[tuple[Block, ...], ...] = ()


_LANGUAGES = {"python": "Python", "py": "Python", "js": "JavaScript"}
_HEADING = re.compile(r"(#{1,4}) (.+)")
_ITEM = re.compile(r"[-*] +")
_RULE = re.compile(r"\|[\s|:-]+\|")
_CELL = re.compile(r"(?<!\\)\|")
_INLINE = re.compile(
    r"`(?P<code>[^`]+)`|\*\*(?P<bold>.+?)\*\*|\*(?P<italic>[^*\s][^*]*)\*|\[(?P<label>[^\]]+)\]\((?P<to>[^)\s]+)\)"
)
_SAFE_LINK = re.compile(r"https?://|/|#")


@cache
def written(name: str) -> str:
    """Of `docs/<name>`."""
    return (Path(settings.BASE_DIR) / "docs" / name).read_text()


def blocks_of(text: str, link: Callable[[str], str] = str) -> list[Block]:
    """
    Args:
        link: where a link leads, given where it leads in the folder of the guides.
    """
    return list(_blocks(text.split("\n"), link))


def _blocks(lines: list[str], link: Callable[[str], str]) -> Iterator[Block]:
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
            continue
        taken = _taken(lines, at)
        yield _block(lines[at : at + taken], link)
        at += taken


def _taken(lines: list[str], at: int) -> int:
    """How many lines the block has that begins here."""
    first = lines[at]
    if first.startswith("```"):
        return _until(lines, at + 1, lambda line: line.startswith("```")) - at + 1
    if _HEADING.fullmatch(first):
        return 1
    if first.startswith("|"):
        return _until(lines, at, lambda line: not line.startswith("|")) - at
    if _ITEM.match(first):
        return _until_list_ends(lines, at) - at
    return _until(lines, at + 1, _ends_paragraph) - at


def _until(lines: list[str], at: int, ends: Callable[[str], object]) -> int:
    while at < len(lines) and not ends(lines[at]):
        at += 1
    return at


def _ends_paragraph(line: str) -> bool:
    return not line.strip() or line.startswith(("```", "|", "#")) or _ITEM.match(line) is not None


def _until_list_ends(lines: list[str], at: int) -> int:
    """Blank lines belong to it where another item or an indented line follows."""
    end = at
    for number in range(at, len(lines)):
        line = lines[number]
        if line.startswith("  ") or _ITEM.match(line):
            end = number + 1
        elif line.strip():
            break
    return end


def _block(lines: list[str], link: Callable[[str], str]) -> Block:
    first = lines[0]
    if first.startswith("```"):
        return _code(lines[1:-1], _LANGUAGES.get(first.removeprefix("```"), ""))
    if heading := _HEADING.fullmatch(first):
        anchor = slugify(heading[2], allow_unicode=True)
        return Block("heading", _inline(heading[2], link), level=len(heading[1]), anchor=anchor)
    if first.startswith("|"):
        rows = [line for line in lines if not _RULE.fullmatch(line.strip())]
        return Block("table", rows=tuple(_cells(row, link) for row in rows))
    if _ITEM.match(first):
        return Block("list", items=tuple(tuple(_blocks(item, link)) for item in _items(lines)))
    return Block("paragraph", _inline(" ".join(line.strip() for line in lines), link))


def _items(lines: list[str]) -> Iterator[list[str]]:
    item: list[str] = []
    for line in lines:
        if _ITEM.match(line) and item:
            yield item
            item = []
        item.append(_ITEM.sub("", line, count=1) if _ITEM.match(line) else line.removeprefix("  "))
    yield item


def _cells(row: str, link: Callable[[str], str]) -> tuple[SafeString, ...]:
    return tuple(_inline(cell.strip().replace("\\|", "|"), link) for cell in _CELL.split(row.strip().strip("|")))


def _code(lines: list[str], language: str) -> Block:
    typed = [line for line in lines if line.startswith(("$ ", "> "))]
    if not typed:
        return Block("code", language=language, text="\n".join(lines), copied="\n".join(lines))
    copied, goes_on = [], False
    for line in lines:
        if goes_on or line.startswith(("$ ", "> ")):
            copied.append(line if goes_on else line[2:])
            goes_on = line.endswith("\\")
    return Block("code", text="\n".join(lines), copied="\n".join(copied))


def _inline(text: str, link: Callable[[str], str]) -> SafeString:
    parts: list[str] = []
    at = 0
    for match in _INLINE.finditer(text):
        parts.append(escape(text[at : match.start()]))
        parts.append(_spanned(match, link))
        at = match.end()
    return mark_safe("".join([*parts, escape(text[at:])]))  # noqa: S308  every part is escaped


def _spanned(match: re.Match[str], link: Callable[[str], str]) -> str:
    if match["code"]:
        return f"<code>{escape(match['code'])}</code>"
    if match["bold"]:
        return f"<strong>{_inline(match['bold'], link)}</strong>"
    if match["italic"]:
        return f"<em>{_inline(match['italic'], link)}</em>"
    to = link(match["to"])
    if not _SAFE_LINK.match(to):
        return _inline(match["label"], link)
    return f'<a class="link" href="{escape(to)}">{_inline(match["label"], link)}</a>'
