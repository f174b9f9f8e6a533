"""docs/errors.md and the tree of errors list the same codes with the same status, type and advice."""

import importlib
import re
from pathlib import Path

import pytest

from common.errors import CodedError

ROOT = Path(__file__).parents[2]
ROOMS = ["common", "accounts", "ledger", "metering", "providers", "nodes", "routing", "billing", "console"]
HEAD = re.compile(r"(\d+) · `(\w+)`(?: · (.+))?")
ADVICE = {"`x-should-retry: true`": True, "`x-should-retry: false`": False}
DECIDED_PER_CASE = {"no_provider_available", "temporarily_unavailable", "draining"}


def import_every_module_with_coded_errors() -> None:
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if re.search(r"^    CODE\b.* = ", path.read_text(), re.M):
                importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


@pytest.fixture(scope="module")
def leaves() -> dict[str, type[CodedError]]:
    import_every_module_with_coded_errors()
    return {leaf.CODE: leaf for leaf in CodedError.leaves() if leaf.__module__.split(".")[0] in ROOMS}


@pytest.fixture(scope="module")
def sections() -> dict[str, str]:
    parts = re.split(r"^#+ (.+)\n", (ROOT / "docs/errors.md").read_text(), flags=re.M)
    return {
        title.strip("`"): text for title, text in zip(parts[1::2], parts[2::2], strict=True) if title.startswith("`")
    }


def test_every_error_has_a_section_and_every_section_an_error(leaves, sections):
    assert sections.keys() == leaves.keys()


def test_every_section_has_cause_and_way_out(sections):
    for code, text in sections.items():
        assert re.search(r"^\*\*Cause:\*\* \w", text, re.M), code
        assert re.search(r"^\*\*Way out:\*\* \w", text, re.M), code


def test_status_type_and_retry_advice_agree(leaves, sections):
    for code, text in sections.items():
        leaf = leaves[code]
        status, kind, advice = HEAD.match(text).groups()
        assert (int(status), kind) == (leaf.STATUS, leaf.TYPE), code
        if code not in DECIDED_PER_CASE:
            assert ADVICE.get(advice) == leaf.SHOULD_RETRY, code
