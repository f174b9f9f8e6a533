"""What can be said of the installers without running them: Windows, macOS and containers are not at hand."""

from __future__ import annotations

import plistlib
import re
import subprocess

import pytest

from shareai_node.places import places
from tests.installers.conftest import AGENT, ROOT, SCRIPTS, tool
from tests.installers.container import instructions

SHELL = [SCRIPTS / "install.sh", AGENT / "building/debian/prerm", AGENT / "building/debian/postrm"]
POWERSHELL = SCRIPTS / "install.ps1"
TOKEN_AS_WORD = re.compile(r"enroll[^\n|]*\$\{?(TOKEN|token)\b|--token[= ]\$", re.IGNORECASE)


@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script):
    done = subprocess.run([tool("shellcheck"), script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_other_shells_can_read_it(shell):
    words = [tool(shell), *(["sh"] if shell == "busybox" else []), "-n", str(SHELL[0])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_download_that_broke_off_does_nothing():
    """Every line but the last only says what is to be done: options of the shell, constants and functions."""
    lines = SHELL[0].read_text().splitlines()
    assert lines[-1] == 'main "$@"'
    outside = [line for line in _outside_functions(lines[:-1]) if line and not line.startswith("#")]
    allowed = re.compile(r"set -eu|umask 022|unset SHAREAI_NODE_TOKEN|[A-Z_]+=[^;&|`]*")
    assert [line for line in outside if not allowed.fullmatch(line)] == []


def _outside_functions(lines: list[str]) -> list[str]:
    found, inside = [], False
    for line in lines:
        starts = re.match(r"[a-z_]+\(\) \{", line)
        if not inside and not starts:
            found.append(line)
        inside = (inside or bool(starts)) and not (line == "}" or (starts and line.endswith("}")))
    return found


@pytest.mark.parametrize("script", [SHELL[0], POWERSHELL], ids=lambda path: path.name)
def test_the_token_is_no_word_of_a_command(script):
    assert TOKEN_AS_WORD.findall(script.read_text()) == []


def test_the_powershell_script_can_be_parsed():
    """By a grammar of the language, which is not Windows' own parser; the script has not been run."""
    tree_sitter = pytest.importorskip("tree_sitter")
    grammar = pytest.importorskip("tree_sitter_powershell")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    source = POWERSHELL.read_bytes()
    assert not parser.parse(source).root_node.has_error
    assert parser.parse(source.replace(b"finally {", b"finally (", 1)).root_node.has_error


def test_the_powershell_script_has_no_sign_that_old_windows_reads_differently():
    """Windows PowerShell takes a file without a mark at its beginning for one of the machine's code page."""
    assert POWERSHELL.read_bytes().isascii()


def test_every_function_of_the_powershell_script_is_there_and_used():
    text = POWERSHELL.read_text()
    defined = re.findall(r"^function ([\w-]+)", text, re.MULTILINE)
    assert len(defined) == len(set(defined))
    assert [name for name in defined if len(re.findall(rf"\b{name}\b", text)) < 2] == []
    ours = "Stop-Install|(?:Assert|Test|Get|Find|New|Set|Read|Register|Start|Install|Uninstall|Invoke|Remove)-"
    ours += "(?:Removable|Root|"
    ours += "Console|Administrator|Prefix|Python|File|VerifiedFile|Sums|Environment|Command|Agent|Token|Node|From)"
    assert set(re.findall(rf"\b(?:{ours})\b", text)) <= {*defined, "Get-Command"}


def test_the_powershell_script_finds_what_it_installed_and_does_not_say_gone_of_what_it_did_not_find():
    """By its text alone: no Windows runs here."""
    bodies = dict(re.findall(r"^function ([\w-]+).*?\{\n(.*?)^\}", POWERSHELL.read_text(), re.M | re.S))
    installed_in = set(re.findall(r"\$env:\w+", bodies["Get-Prefix"]))
    assert installed_in == {"$env:ProgramFiles", "$env:LOCALAPPDATA"}
    assert installed_in <= set(re.findall(r"\$env:\w+", bodies["Find-Root"]))
    assert re.search(r"if \(-not \$roots\) \{\s+Stop-Install", bodies["Find-Root"])
    [before, _] = bodies["Uninstall-Node"].split("is gone from here")
    assert re.findall(r"\b(?:Find-Root|Assert-Removable|Remove-Root)\b", before) == [
        "Find-Root",
        "Assert-Removable",
        "Remove-Root",
    ]
    assert re.search(
        r"service uninstall --purge\s+if \(\$LASTEXITCODE -ne 0\) \{ Stop-Install", bodies["Remove-Root"]
    )


def test_the_container_runs_as_nobody_in_particular_and_tells_its_health():
    lines = instructions(AGENT / "Dockerfile")
    last_stage = lines[max(i for i, (word, _) in enumerate(lines) if word == "FROM") :]
    users = [words for word, words in last_stage if word == "USER"]
    assert [user.partition(":")[0].isdigit() and int(user.partition(":")[0]) > 0 for user in users] == [True]
    (health,) = (words for word, words in last_stage if word == "HEALTHCHECK")
    assert health.endswith('CMD ["shareai-node", "status"]')
    copied = [words.split()[0] for word, words in lines if word == "COPY" and "--from" not in words]
    assert [path for path in copied if not (ROOT / path).exists()] == []
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert {path.partition("/")[0] for path in copied} == set(let_in)


def test_hadolint_finds_nothing():
    words = [tool("hadolint"), "--no-color", AGENT / "Dockerfile"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("system", [False, True], ids=["of a user", "of the machine"])
def test_launchd_gets_a_property_list(system):
    """macOS' own tool, plutil, is not at hand; launchd has not been seen to start it."""
    from shareai_node.service.launchd import LABEL, plist_bytes

    command = ["/a folder/bin/python", "-m", "shareai_node"]
    told = plistlib.loads(plist_bytes(command, places({"SHAREAI_NODE_HOME": "/var/node"}), system=system))
    assert told["Label"] == LABEL
    assert told["ProgramArguments"] == [*command, "run"]
    assert told["RunAtLoad"] is True
    assert ("EnvironmentVariables" in told) is system
