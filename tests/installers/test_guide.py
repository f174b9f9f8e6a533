"""The provider's guide tells of commands that exist, and the same in both languages."""

from __future__ import annotations

import re

import pytest

from shareai_node import __version__
from shareai_node.cli import main
from tests.installers.conftest import ROOT, SCRIPTS

ENGLISH, THAI = ((ROOT / "docs" / name).read_text() for name in ("provider-guide.md", "provider-guide.th.md"))
VERB = re.compile(r"(?<![\w/.-])shareai-node (?:\./\S+ )?((?:service |server )?[a-z]+)\b(?=[ `\n&<])")
OPTION = re.compile(r"(?:install\.sh|sh -s --)[^\n`]* (--[a-z-]+)|`(--[a-z-]+)`")


def commands(text: str) -> list[str]:
    """The lines to type, without what is said beside them."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [re.sub(r"\s+# .*", "", line).strip() for block in blocks for line in block.splitlines()]


def test_both_languages_give_the_same_commands():
    assert commands(ENGLISH) == commands(THAI)


def test_both_languages_have_the_same_chapters_and_tables():
    def shape(text: str) -> list[str]:
        return [re.match(r" *\|?#*", line)[0].strip() for line in text.splitlines() if re.match(r" *(#+ |\|)", line)]

    assert shape(ENGLISH) == shape(THAI)


def test_every_verb_exists(capsys):
    told = set(VERB.findall(ENGLISH)) | set(VERB.findall(THAI))
    assert {"enroll", "status", "doctor", "pause", "drain", "upgrade", "service install", "server add"} <= told
    for verb in told:
        with pytest.raises(SystemExit) as left:
            main([*verb.split(), "--help"])
        assert left.value.code == 0, (verb, capsys.readouterr().err)


def test_every_option_of_the_installer_exists():
    known = set(re.findall(r"^    (--[a-z-]+)\)? ?", (SCRIPTS / "install.sh").read_text(), re.MULTILINE))
    known |= set(re.findall(r"^  (--[a-z-]+) ", (SCRIPTS / "install.sh").read_text(), re.MULTILINE)) | {"--help"}
    of_the_agent = {"--replace"}
    told = {one or other for one, other in OPTION.findall(ENGLISH)}
    assert {"--dry-run", "--token-file", "--uninstall", "--prefix"} <= told
    assert told - of_the_agent <= known


def test_the_package_is_named_as_it_is_built():
    for text in (ENGLISH, THAI):
        assert set(re.findall(r"shareai-node_[\d.]+_all\.deb", text)) == {f"shareai-node_{__version__}_all.deb"}
