"""The order of a run of several workers: what takes long begins first, on all of them at once.

Each worker first gets an equal part of all tests (`--dist worksteal`), in their order, and one that is through takes
half of what another has left, from its end. So each part begins with some of the long ones and ends with many short
ones: whatever is taken last is small, and waiting and computing go on beside each other from beginning to end.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

BEGINNINGS = (
    ("tests/chaos", "tests/e2e"),
    ("tests/e2e/test_pages.py", "tests/installers", "tests/console/test_database_pool.py"),
    (
        "tests/nodes_e2e",
        "tests/console/test_run.py",
        "tests/agent",
        "tests/test_migrations.py",
        "tests/console/pages/test_query_counts.py",
    ),
    (
        "tests/routing/test_outages.py",
        "tests/routing/test_usage_exact.py",
        "tests/routing",
        "tests/ledger/test_machine.py",
        "tests/console/api/test_schema_fuzz.py",
    ),
)
"""Files and folders that take minutes, in parts that take about as long as each other."""


def workers() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def arranged(items: Sequence[pytest.Item], count: int) -> list[pytest.Item]:
    """Args: items: those of a file one after another. count: of workers. A file stays together but for its ends."""
    beginnings: list[list[tuple[tuple[int, int], pytest.Item]]] = [[] for _ in range(count)]
    rest: list[pytest.Item] = []
    for item in items:
        place = _place(item.nodeid.partition("::")[0])
        if place is None:
            rest.append(item)
        else:
            beginnings[place[0] % count].append((place, item))
    order: list[pytest.Item] = []
    for worker, placed in enumerate(beginnings):
        room = (len(items) - len(order)) // (count - worker)
        first = [item for _, item in sorted(placed, key=lambda each: each[0])]
        rest[:0] = first[room:]
        first = first[:room]
        missing = room - len(first)
        order += first + rest[:missing]
        del rest[:missing]
    return order + rest


def _place(file: str) -> tuple[int, int] | None:
    """Of which beginning, and where in it; by what names the file most closely."""
    found: tuple[int, int] | None = None
    longest = ""
    for part, paths in enumerate(BEGINNINGS):
        for at, path in enumerate(paths):
            if (file == path or file.startswith(f"{path}/")) and len(path) > len(longest):
                found, longest = (part, at), path
    return found
