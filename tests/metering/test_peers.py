"""Processes of one host know how many they are."""

from __future__ import annotations

import subprocess
import sys

import pytest

from accounts.scopes import LimitRecord
from metering.admission import headers_of
from metering.bounds import Bound, bounds_of
from metering.gate import Gate
from metering.peers import Peers

NO_REDIS = "redis://127.0.0.1:1/0"
HOLD = """
import sys
from pathlib import Path
from metering.peers import Peers
peers = Peers(Path(sys.argv[1]))
print(peers.count(), flush=True)
sys.stdin.read()
"""


def test_a_process_that_was_killed_is_not_counted(tmp_path):
    own = Peers(tmp_path)
    assert own.count() == 1
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"2\n"
        assert own.count() == 2
        other.kill()
        other.wait(10)
    assert own.count() == 1
    own.close()
    assert not [*tmp_path.iterdir()]


async def test_the_part_is_that_of_all_who_live_here_though_redis_never_was(tmp_path):
    first, second = Peers(tmp_path), Peers(tmp_path)
    gates = [Gate(NO_REDIS, count_here=peers.count) for peers in (first, second)]
    assert [gate.processes for gate in gates] == [2, 2]
    first.close()
    assert second.rank() == 0
    assert Gate(NO_REDIS, least_processes=5, count_here=second.count).processes == 5
    second.close()


@pytest.mark.parametrize("limits", [{"rpm": 1}, {"concurrency": 1}, {"rpd": 3}, {"concurrency": 3}, {"rpm": 4}])
async def test_what_cannot_be_divided_goes_to_the_oldest_and_no_more_than_the_limit_in_all(tmp_path, limits):
    """Redis never was; both live on this host, and no others are said to be."""
    bound = bounds_of(1, LimitRecord("organisation", "limited", **limits))[0]
    peers = Peers(tmp_path), Peers(tmp_path)
    both = [Gate(NO_REDIS, least_processes=2, count_here=one.count, rank_here=one.rank) for one in peers]
    may = sorted([await admitted(gate, bound, 9) for gate in both])
    assert may == [bound.limit // 2, bound.limit - bound.limit // 2]
    for one in peers:
        one.close()


async def test_where_others_are_elsewhere_nobody_takes_what_is_left_over(tmp_path):
    """Their oldest would, too."""
    bound = bounds_of(1, LimitRecord("organisation", "limited", concurrency=5))[0]
    peers = Peers(tmp_path)
    gate = Gate(NO_REDIS, least_processes=3, count_here=peers.count, rank_here=peers.rank)
    assert await admitted(gate, bound, 9) == 1
    peers.close()


async def test_what_is_left_of_a_part_is_told(tmp_path):
    bound = bounds_of(1, LimitRecord("organisation", "limited", rpm=3))[0]
    peers = Peers(tmp_path), Peers(tmp_path)
    told = []
    for one in peers:
        gate = Gate(NO_REDIS, count_here=one.count, rank_here=one.rank)
        told.append(dict(headers_of([(bound, 1)], await gate.admit([(bound, 1)])))[b"x-ratelimit-remaining-requests"])
    assert sorted(told) == [b"0", b"1"]
    for one in peers:
        one.close()


async def admitted(gate: Gate, bound: Bound, times: int) -> int:
    return sum([(await gate.admit([(bound, 1)])).binding < 0 for _ in range(times)])
