"""The order of tests over several workers."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.abreast import BEGINNINGS, arranged

PROJECT = Path(__file__).resolve().parents[1]


def items(**counts: int) -> list[SimpleNamespace]:
    """So many of each file."""
    return [
        SimpleNamespace(nodeid=f"tests/{name.replace('__', '/')}.py::test[{number}]")
        for name, count in counts.items()
        for number in range(count)
    ]


COLLECTED = items(
    accounts__test_a=70, agent__test_b=7, chaos__test_c=1, console__test_d=40, console__test_run=9, e2e__test_pages=8,
    e2e__test_paths=12, installers__test_e=10, metering__test_f=61, nodes_e2e__test_g=11, routing__test_h=60,
    routing__test_outages=4, test_migrations=3,
)  # fmt: skip


def files(order: list[SimpleNamespace]) -> list[str]:
    return [name for name, _ in groupby(item.nodeid.removeprefix("tests/").partition(".py")[0] for item in order)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 400])
def test_every_test_runs_once(count):
    order = arranged(COLLECTED, count)
    assert sorted(item.nodeid for item in order) == sorted(item.nodeid for item in COLLECTED)


def test_each_of_four_workers_begins_with_long_ones():
    order = arranged(COLLECTED, 4)
    part = len(order) // 4
    first = [files(order[at : at + part])[:2] for at in range(0, 4 * part, part)]
    assert first[0] == ["chaos/test_c", "e2e/test_paths"]
    assert first[1] == ["e2e/test_pages", "installers/test_e"]
    assert first[2] == ["nodes_e2e/test_g", "console/test_run"]
    assert "routing/test_outages" in first[3]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_file_stays_together_but_for_the_ends_of_parts(count):
    assert len(files(arranged(COLLECTED, count))) < len(files(COLLECTED)) + 2 * count


def test_what_is_said_to_take_long_exists():
    assert [path for part in BEGINNINGS for path in part if not (PROJECT / path).exists()] == []
