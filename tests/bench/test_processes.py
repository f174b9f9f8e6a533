"""What the kernel charged, read from real processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.processes import Child, GatewayError, cpu_nanos, rss_mb, tree

_BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
_SAY_AND_STAY = "print('ready', flush=True)\nimport time; time.sleep(600)\n"


def _start(tmp_path: Path, program: str) -> Child:
    """Starts a program and waits until it has printed `ready`."""
    log = tmp_path / "output.log"
    child = Child([sys.executable, "-c", program], log)
    child.wait_until(lambda: "ready" in log.read_text(), "the program")
    return child


def test_counts_the_cpu_of_a_process(tmp_path: Path) -> None:
    child = _start(tmp_path, _BURN + _SAY_AND_STAY)
    try:
        assert cpu_nanos([child.pid]) >= 300_000_000
    finally:
        child.stop()


def test_counts_the_cpu_of_threads_that_ended(tmp_path: Path) -> None:
    program = "import threading\n" + f"t = threading.Thread(target=exec, args=({_BURN!r},))\nt.start(); t.join()\n"
    child = _start(tmp_path, program + _SAY_AND_STAY)
    try:
        assert cpu_nanos([child.pid]) >= 300_000_000
    finally:
        child.stop()


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "alive"])
def test_counts_the_cpu_of_a_grandchild(tmp_path: Path, ended: bool) -> None:
    tail = "" if ended else _SAY_AND_STAY
    program = f"import subprocess, sys\np = subprocess.Popen([sys.executable, '-c', {_BURN + tail!r}])\n"
    child = _start(tmp_path, program + ("p.wait()\n" + _SAY_AND_STAY if ended else "p.wait()\n"))
    try:
        assert cpu_nanos([child.pid]) >= 300_000_000 - 10_000_000  # of the ended one, whole ticks
        assert len(tree([child.pid])) == (1 if ended else 2)
    finally:
        child.stop()


def test_memory_is_that_of_the_largest_process(tmp_path: Path) -> None:
    grandchild = "block = bytearray(64 << 20)\n" + _SAY_AND_STAY
    program = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {grandchild!r}])\n"
    child = _start(tmp_path, program)
    try:
        assert 64 < rss_mb([child.pid]) < 128
        assert rss_mb([child.pid], peak=True) >= rss_mb([child.pid])
    finally:
        child.stop()


def test_peak_memory_outlives_what_was_freed(tmp_path: Path) -> None:
    child = _start(tmp_path, "block = bytearray(64 << 20)\ndel block\n" + _SAY_AND_STAY)
    try:
        assert rss_mb([child.pid]) < 64 < rss_mb([child.pid], peak=True)
    finally:
        child.stop()


def test_stop_ends_the_whole_tree(tmp_path: Path) -> None:
    program = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {_SAY_AND_STAY!r}])\n"
    child = _start(tmp_path, program)
    pids = tree([child.pid])
    child.stop()
    states = subprocess.run(
        ["ps", "-o", "stat=", "-p", ",".join(map(str, pids))], capture_output=True, text=True, check=False
    )
    assert all(state.startswith("Z") for state in states.stdout.split())


def test_a_process_that_is_gone_is_an_error(tmp_path: Path) -> None:
    child = _start(tmp_path, _SAY_AND_STAY)
    child.stop()
    with pytest.raises(GatewayError, match="gone"):
        cpu_nanos([child.pid])


def test_a_start_that_fails_says_its_last_words(tmp_path: Path) -> None:
    child = Child([sys.executable, "-c", "raise SystemExit('no such model')"], tmp_path / "output.log")
    with pytest.raises(GatewayError, match=r"router ended with code 1: no such model"):
        child.wait_until(lambda: False, "router")
    child.stop()


def test_a_start_that_takes_too_long_is_an_error(tmp_path: Path) -> None:
    child = _start(tmp_path, _SAY_AND_STAY)
    try:
        with pytest.raises(GatewayError, match=r"not ready after 0\.1 s: ready"):
            child.wait_until(lambda: False, "router", timeout_s=0.1)
    finally:
        child.stop()
