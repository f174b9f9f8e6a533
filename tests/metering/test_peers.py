"""Processes of one host know how many they are."""

from __future__ import annotations

import subprocess
import sys

from metering.gate import Gate
from metering.peers import Peers

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
    gates = [Gate("redis://127.0.0.1:1/0", count_here=peers.count) for peers in (first, second)]
    assert [gate.processes for gate in gates] == [2, 2]
    first.close()
    assert Gate("redis://127.0.0.1:1/0", least_processes=5, count_here=second.count).processes == 5
    second.close()
